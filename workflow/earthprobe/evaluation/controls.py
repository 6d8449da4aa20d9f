"""Predictors that see no pixel: what a score must be held against before it says anything of a model.

Each is one entry of :data:`CONTROLS`, which configurations and tables read. Scores are probabilities, so that every
metric of a probe is a control's, too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from earthprobe.distance import in_cells, nearest

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

NEIGHBOURS = 10
APART = 1e6
"""Cells between tiles when patches are compared within them."""

PATCHES_OF_PRIOR = 5
"""By so many patches that are as all of train a group's share is drawn towards them."""

QUERIES = 2**14
"""Patches whose neighbours' labels are in memory at the same time."""


class Part(NamedTuple):
    """Some patches.

    Attributes:
        rows: of ``index.parquet``.
        targets: which classes a patch has, shape (patches, classes).
    """

    rows: pl.DataFrame
    targets: Bools


class Control(NamedTuple):
    """A predictor without pixels.

    Attributes:
        says: what its score stands for, in a sentence below a table.
        function: train and other patches in, a probability a class of the others out, shape (patches, classes).
        needs: the columns of the index without which it knows nothing.
    """

    says: str
    function: Callable[[Part, Part], Floats]
    needs: Sequence[str] = ()


def prior(train: Part, others: Part) -> Floats:
    """The share of each class in train, of every patch."""
    return np.tile(train.targets.mean(axis=0, dtype=np.float32), (len(others.targets), 1))


def all_positive(train: Part, others: Part) -> Floats:
    """Every class, of every patch."""
    return np.ones(others.targets.shape, np.float32)


def shares(*columns: str) -> Callable[[Part, Part], Floats]:
    """The share of each class among the train patches of a group, (n_gc + 5 prior_c) / (n_g + 5)."""

    def function(train: Part, others: Part) -> Floats:
        keys, other_keys = (part.rows.select(pl.concat_str(columns, separator="|"))[:, 0] for part in (train, others))
        groups = keys.drop_nulls().unique().sort()
        number = dict(zip(groups, range(len(groups)), strict=True))
        member = np.array([number.get(key, -1) for key in keys])
        counts = np.zeros((len(groups) + 1, train.targets.shape[1]))
        np.add.at(counts, member, train.targets)
        sizes = np.bincount(member[member >= 0], minlength=len(groups))
        # The last row is of patches whose group is not known, or not in train: all that is left to them is the prior.
        counts[-1], sizes = 0, np.append(sizes, 0)
        usual = train.targets.mean(axis=0)
        table = (counts + PATCHES_OF_PRIOR * usual) / (sizes[:, None] + PATCHES_OF_PRIOR)
        result: Floats = table[[number.get(key, -1) for key in other_keys]].astype(np.float32)
        return result

    return function


def neighbours(train: Part, others: Part) -> Floats:
    """The labels of the nearest train patches, each weighing 1 / (1 + distance in cells).

    Distances are those of the grid of the patch's tile. A patch whose tile is not known, or has no train patch, takes
    the nearest on the ground instead, and one without a place the prior.
    """
    result = prior(train, others)
    left = np.ones(len(result), bool)
    for places in (in_tiles(train.rows, others.rows), (on_ground(train.rows), on_ground(others.rows))):
        known, asked = (np.isfinite(part).all(axis=1) for part in places)
        asked &= left
        if not known.any() or not asked.any():
            continue
        distances, found = nearest(places[0][known], places[1][asked], NEIGHBOURS)
        near = distances[:, 0] < APART / 2  # else there is none in the tile
        rows = np.flatnonzero(asked)[near]
        result[rows] = _voted(train.targets[known], distances[near], found[near])
        left[rows] = False
    return result


def _voted(targets: Bools, distances: Doubles, rows: npt.NDArray[np.int64]) -> Floats:
    weights = 1 / (1 + distances)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    result = np.empty((len(rows), targets.shape[1]), np.float32)
    for start in range(0, len(rows), QUERIES):
        part = slice(start, start + QUERIES)
        result[part] = np.einsum("nk,nkc->nc", weights[part], targets[rows[part]].astype(np.float32))
    return result


SHARE = "the share of each class in the train patches of the same"

CONTROLS: Mapping[str, Control] = {
    "prior": Control("the share of each class in train, of every patch alike", prior),
    "all_positive": Control("every class, of every patch", all_positive),
    "country": Control(f"{SHARE} country", shares("country"), ("country",)),
    "month": Control(f"{SHARE} month", shares("month"), ("month",)),
    "country_month": Control(f"{SHARE} country and month", shares("country", "month"), ("country", "month")),
    "tile": Control(f"{SHARE} tile of 110 km", shares("tile"), ("tile",)),
    "neighbours": Control(
        f"the labels of the {NEIGHBOURS} nearest train patches: how much of a score is neighbourhood",
        neighbours,
        ("longitude", "latitude"),
    ),
}
"""The controls by their names, in a table's order."""


def on_ground(rows: pl.DataFrame) -> Doubles:
    """Where patches are, in cells from the Earth's centre, shape (patches, 3); NaN where a place is not known."""
    return in_cells(rows.select(pl.col("longitude", "latitude").cast(pl.Float64).fill_null(float("nan"))).to_numpy())


def in_tiles(*parts: pl.DataFrame) -> tuple[Doubles, ...]:
    """Column and row of patches in the grid of their tile, and each tile far from all others, shape (patches, 3)."""
    tiles = pl.concat([part["tile"] for part in parts]).drop_nulls().unique().sort()
    number = dict(zip(tiles, range(len(tiles)), strict=True))
    found = []
    for part in parts:
        far = [APART * number[tile] if tile is not None else np.nan for tile in part["tile"]]
        grid = part.select(pl.col("column", "row").cast(pl.Float64).fill_null(float("nan"))).to_numpy()
        found.append(np.column_stack([grid, np.asarray(far, np.float64)]))
    return tuple(found)
