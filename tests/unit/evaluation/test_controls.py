"""Predictors without pixels, against counts and scikit-learn's neighbours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from earthprobe.config import schema
from earthprobe.distance import in_cells, to_nearest
from earthprobe.evaluation.controls import CONTROLS, Part
from sklearn.neighbors import NearestNeighbors

COLUMNS = {
    "tile": pl.String,
    "column": pl.Int16,
    "row": pl.Int16,
    "country": pl.String,
    "month": pl.Int8,
    "longitude": pl.Float64,
    "latitude": pl.Float64,
}


def part(targets: Sequence[Sequence[int]], **columns: Sequence[Any]) -> Part:
    count = len(targets)
    rows = pl.DataFrame({name: columns.get(name, [None] * count) for name in COLUMNS}, schema=COLUMNS)
    return Part(rows, np.array(targets, bool))


def scores(name: str, train: Part, others: Part) -> np.ndarray:
    found = CONTROLS[name].function(train, others)
    assert found.dtype == np.float32
    assert found.shape == others.targets.shape
    return found


TRAIN = part(
    [[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]],
    country=["A", "A", "B", None],
    month=[1, 2, 1, 1],
    tile=["33UUP", "33UUP", "33UUP", "29SND"],
    column=[0, 1, 5, 0],
    row=[0, 0, 0, 0],
)


def test_prior_and_all_positive():
    others = part([[0, 0, 0]] * 2)
    np.testing.assert_allclose(scores("prior", TRAIN, others), [[0.75, 0.5, 0]] * 2)
    assert (scores("all_positive", TRAIN, others) == 1).all()


def test_shares_of_a_group_are_drawn_towards_the_prior():
    others = part([[0, 0, 0]] * 3, country=["A", "C", None])
    usual = np.array([0.75, 0.5, 0])
    want = [(np.array([2, 1, 0]) + 5 * usual) / 7, usual, usual]
    np.testing.assert_allclose(scores("country", TRAIN, others), want, rtol=1e-6)


def test_a_group_of_two_columns_needs_both():
    others = part([[0, 0, 0]] * 3, country=["A", "A", "A"], month=[2, 1, None])
    usual = np.array([0.75, 0.5, 0])
    want = [(np.array([1, 1, 0]) + 5 * usual) / 6, (np.array([1, 0, 0]) + 5 * usual) / 6, usual]
    np.testing.assert_allclose(scores("country_month", TRAIN, others), want, rtol=1e-6)


def test_neighbours_weigh_by_their_distance_in_the_tile():
    others = part([[0, 0, 0]], tile=["33UUP"], column=[2], row=[0])
    weights = np.array([1 / 3, 1 / 2, 1 / 4, 0])  # of 2, 1 and 3 cells; another tile is far away
    want = weights @ TRAIN.targets / weights.sum()
    np.testing.assert_allclose(scores("neighbours", TRAIN, others), [want], atol=1e-4)


def test_without_a_train_patch_in_the_tile_neighbours_are_the_nearest_on_the_ground():
    rng = np.random.default_rng(0)
    places = rng.uniform([10, 45], [10.4, 45.3], (60, 2))
    targets = rng.random((60, 4)) < 0.4
    lonely = ["33UUP"] * 30 + ["33UUQ"] * 30
    whole = part(targets.tolist(), tile=lonely, column=[0] * 60, row=[0] * 60,
                 longitude=places[:, 0].tolist(), latitude=places[:, 1].tolist())  # fmt: skip
    train, others = (Part(whole.rows[half], whole.targets[half]) for half in (slice(0, 30), slice(30, 60)))
    distances, rows = NearestNeighbors(n_neighbors=10).fit(in_cells(places[:30])).kneighbors(in_cells(places[30:]))
    weights = 1 / (1 + distances)
    want = np.einsum("nk,nkc->nc", weights / weights.sum(1, keepdims=True), targets[:30][rows].astype(float))
    np.testing.assert_allclose(scores("neighbours", train, others), want, atol=1e-5)


def test_what_is_not_known_leaves_the_prior():
    blank, others = part(TRAIN.targets.tolist()), part([[0, 0, 0]] * 2)
    usual = scores("prior", blank, others)
    for name in ("country", "month", "country_month", "tile", "neighbours"):
        np.testing.assert_allclose(scores(name, blank, others), usual, rtol=1e-6)


def test_the_configuration_knows_the_controls():
    names = schema()["properties"]["controls"]["anyOf"][1]["items"]["enum"]
    assert names == [*CONTROLS, "permuted"]


def test_distances_are_in_cells_of_1200_metres():
    # A degree of latitude on the sphere is 111,195 m, and so are two places on a meridian a chord apart.
    found = to_nearest(np.array([[10.0, 50.0], [np.nan, 1.0]]), np.array([[10.0, 50.1], [10.0, np.nan]]))
    assert found[0] == pytest.approx(11119.5 / 1200, rel=1e-4)
    assert np.isnan(found[1])
    assert np.isnan(to_nearest(np.full((1, 2), np.nan), np.zeros((1, 2)))).all()
