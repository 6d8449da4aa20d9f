"""Which patches a budget of labels buys."""

from itertools import groupby

import numpy as np
from earthprobe.probes.budgets import ordered, shared

RNG = np.random.default_rng(2)
TARGETS = RNG.random((400, 8)) < np.array([0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0])
TILES = [f"t{number}" for number in RNG.integers(12, size=400)]


def test_every_patch_comes_once_and_draws_are_seeded():
    order = ordered(TARGETS, TILES, (0, 1))
    assert sorted(order) == list(range(400))
    np.testing.assert_array_equal(order, ordered(TARGETS, TILES, (0, 1)))
    assert (order != ordered(TARGETS, TILES, (1, 1))).any()


def test_the_first_patches_have_every_class_that_there_is():
    for seed in range(20):
        first = TARGETS[ordered(TARGETS, TILES, (seed,))[:7]]
        assert first.any(axis=0).tolist() == TARGETS.any(axis=0).tolist()
    rarest = np.flatnonzero(TARGETS[:, 6])
    firsts = {int(ordered(TARGETS, TILES, (seed,))[0]) for seed in range(50)}
    assert firsts == set(rarest.tolist()), "a patch of the rarest class comes first, each in some draw"


def test_then_come_whole_tiles():
    order = ordered(TARGETS, TILES, (3,))
    runs = [tile for tile, _ in groupby(TILES[row] for row in order[7:])]
    assert len(runs) == len(set(runs)) == 12
    first = [next(groupby(TILES[row] for row in ordered(TARGETS, TILES, (seed,))[7:]))[0] for seed in range(60)]
    assert len(set(first)) == 12, "any tile may be the first"


def test_val_is_cut_as_much_as_train():
    assert shared(100, 1000, 500) == 50
    assert shared(5000, 1000, 500) == 500
    assert shared(1, 1000, 500) == 1
    assert shared(100, 269_695, 123_723) == 46
