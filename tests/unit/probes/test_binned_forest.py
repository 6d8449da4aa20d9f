"""The forest over binned features: its splits against scikit-learn's, its fast paths against its slow ones."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from earthprobe.probes import binned_data, binned_forest, binned_leaves, binned_trees, random_forest
from earthprobe.probes.forest import Forest
from earthprobe.probes.interface import Data
from sklearn.metrics import average_precision_score
from sklearn.tree import DecisionTreeClassifier

UNLIMITED = 2**31 - 1


class Grown(NamedTuple):
    nodes: binned_data.Nodes
    bins: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    shares: np.ndarray
    """Of each patch that the bootstrap drew, the share of each class in its leaf."""


def grown(data: Data, *, near: int, many: int, deepest: int = UNLIMITED, least: int = 1, bins: int = 32) -> Grown:
    """A tree that tries all features at each node, so that chance decides between equals alone."""
    train = data.parts["train"]
    with ThreadPoolExecutor(1) as pool:
        rows = binned_forest.binned(train.features, binned_forest.edges_of(train.features, bins, 0, pool), pool)
    sets, kinds = binned_forest._sets_of(train.targets)
    count, classes = train.targets.shape
    weights = np.bincount(np.random.default_rng(3).integers(count, size=count), minlength=count).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(train.targets.sum(axis=1))]).astype(np.int32)
    which = np.nonzero(train.targets)[1].astype(np.int32)
    of = binned_data.Patches(np.ascontiguousarray(rows.T), starts, which, kinds, weights)
    patches = np.flatnonzero(weights).astype(np.int32)
    nodes = binned_data.Nodes(*(np.empty(2 * len(patches), np.int32) for _ in range(4)))
    limits = binned_data.Limits(rows.shape[1], least, deepest, bins, classes)
    made = binned_trees.grow(of, rows, patches, nodes, limits, 5, near, many)
    nodes = binned_data.Nodes(*(values[:made] for values in nodes))
    leaf, several = binned_leaves.shares_of_leaves(of, patches, nodes, made, classes)
    assert sorted(patches.tolist()) == np.flatnonzero(weights).tolist()
    at = leaf[binned_leaves.leaves_of(rows, *nodes)]
    shares = np.where(
        (at >= 0)[:, None], sets[np.maximum(at, 0)], np.vstack([several, np.zeros(classes)])[-2 - np.minimum(at, -2)]
    )
    return Grown(nodes, rows, train.targets, weights, shares[weights > 0])


@pytest.mark.parametrize("near", [0, 300])
@pytest.mark.parametrize("many", [2, 10_000], ids=["counted", "sorted"])
@pytest.mark.parametrize("least", [1, 40])
def test_it_splits_as_scikit_learn_does(data: Data, near: int, many: int, least: int):
    """By Gini over all classes together, of patches as often as the bootstrap drew them."""
    ours = grown(data, near=near, many=many, deepest=4, least=least)
    drawn = ours.weights > 0
    theirs = DecisionTreeClassifier(max_depth=4, min_samples_leaf=least, random_state=0)
    # One output a class, but for those that all or none have, of which scikit-learn has no second share.
    some = [0, 1, 2]
    theirs.fit(ours.bins[drawn], ours.targets[drawn][:, some], sample_weight=ours.weights[drawn])
    want = np.stack([share[:, 1] for share in theirs.predict_proba(ours.bins[drawn])], axis=1)
    np.testing.assert_allclose(ours.shares[:, some], want, atol=1e-6)
    assert theirs.get_n_leaves() == (ours.nodes.feature < 0).sum() > 8


def test_counting_and_sorting_give_one_tree(data: Data):
    one, other = (grown(data, near=0, many=many) for many in (2, 10_000))
    for name in binned_data.Nodes._fields:
        np.testing.assert_array_equal(getattr(one.nodes, name), getattr(other.nodes, name))


def test_leaves_are_pure_where_nothing_bounds_them(data: Data):
    ours = grown(data, near=200, many=50, bins=256)
    drawn = ours.weights > 0
    assert np.array_equal(ours.shares, ours.targets[drawn])


def test_what_a_bin_is(data: Data):
    features = data.parts["train"].features.copy()
    features[:, 0] = 3  # constant
    features[:, 1] = np.round(features[:, 1])  # a few values, each with a bin of its own
    features[:, 2] = np.where(features[:, 2] < 1, 0, features[:, 2])  # most have one value
    features[:, 3] = np.nextafter(
        np.float32(1), np.float32(2) * (np.arange(len(features)) % 2 > 0)
    )  # neighbouring numbers
    with ThreadPoolExecutor(2) as pool:
        edges = binned_forest.edges_of(features, 16, 0, pool)
        bins = binned_forest.binned(features, edges, pool)
    assert bins.max() == 15
    for dimension in range(8):
        for b, edge in enumerate(edges[dimension]):
            np.testing.assert_array_equal(bins[:, dimension] <= b, features[:, dimension] <= edge)
    assert set(bins[:, 0]) == {0}
    assert len(set(bins[:, 1])) == len(set(features[:, 1].tolist()))
    assert len(set(bins[:, 3])) == 2
    counts = np.bincount(bins[:, 4], minlength=16)
    assert counts.min() == counts.max() - 1 == len(features) // 16


@pytest.mark.parametrize("options", [{}, {"min_samples_leaf": 7}, {"max_depth": 4}, {"bins": 256, "seed": 3}], ids=str)
def test_it_is_as_good_as_scikit_learns(data: Data, options: dict):
    shared = {name: value for name, value in options.items() if name != "bins"}
    ours = binned_forest.fit(data, threads=2, n_estimators=150, **options).scores["test"]
    theirs = random_forest.fit(data, threads=2, n_estimators=150, **shared).scores["test"]
    targets = data.parts["test"].targets
    for number in (0, 1):
        found, want = (average_precision_score(targets[:, number], of[:, number]) for of in (ours, theirs))
        assert want > 0.6
        assert abs(found - want) < 0.03
    assert (ours[:, 3] == 0).all()
    assert (ours[:, 4] == 1).all()


def test_threads_change_nothing(data: Data, tmp_path: Path):
    for threads in (1, 3):
        binned_forest.fit(data, threads=threads, n_estimators=7).save(tmp_path / str(threads))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "3").read_bytes()


def test_a_tree_depends_on_its_number_alone(data: Data, tmp_path: Path):
    for trees in (3, 5):
        binned_forest.fit(data, threads=2, n_estimators=trees).save(tmp_path / str(trees))
    few, more = (Forest.read(tmp_path / str(trees)).trees for trees in (3, 5))
    for one, other in zip(few, more[:3], strict=True):
        assert np.array_equal(one.feature, other.feature)
        assert np.array_equal(one.threshold, other.threshold)
    assert not np.array_equal(more[3].feature, more[4].feature)


def test_of_classes_that_exclude_each_other_shares_add_up(data: Data):
    for part in data.parts.values():
        part.targets = np.eye(3, dtype=bool)[np.digitize(part.features[:, 0], [-0.5, 0.5])]
    data.task = "single"
    scores = binned_forest.fit(data, threads=2, n_estimators=20).scores["test"]
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert (scores.argmax(axis=1) == data.parts["test"].targets.argmax(axis=1)).mean() > 0.95


def test_a_constant_feature_counts_among_those_that_are_tried():
    """How often the root takes the one feature that tells classes apart, beside a poor one and two constant ones."""
    bins = np.zeros((400, 4), np.uint8)
    bins[:, 0] = np.arange(400) % 2
    bins[:, 1] = np.arange(400) // 2 % 2
    targets = np.stack([bins[:, 0] > 0, bins[:, 0] == 0], axis=1)
    ones = np.ones(400, np.int32)
    starts, sets = np.arange(401, dtype=np.int32), bins[:, 0].astype(np.int32)
    of = binned_data.Patches(np.ascontiguousarray(bins.T), starts, targets.argmax(axis=1).astype(np.int32), sets, ones)
    limits = binned_data.Limits(2, 1, 1, 2, 2)
    ours = theirs = 0
    for seed in range(600):
        nodes = binned_data.Nodes(*(np.empty(800, np.int32) for _ in range(4)))
        binned_trees.grow(of, bins, np.arange(400, dtype=np.int32), nodes, limits, seed * 7919)
        ours += nodes.feature[0] == 0
        tree = DecisionTreeClassifier(max_depth=1, max_features=2, random_state=seed).fit(bins, bins[:, 0])
        theirs += tree.tree_.feature[0] == 0
    # Of two that are drawn it is one, or it is the first of two that is not constant: 1/2 + 1/6 x 1/2.
    assert abs(theirs / 600 - 7 / 12) < 0.07
    assert abs(ours / 600 - 7 / 12) < 0.07
