"""How well the nearest patches share a patch's labels: retrieval, with test patches as queries and train as database.

Relevant is a train patch that has any class of the query, as Blumenstiel et al. 2024 have it of BigEarthNet
(https://arxiv.org/abs/2403.02059); graded, it is as relevant as the Jaccard index of the two sets of classes says,
|A & B| / |A | B|. With h_i whether the i-th nearest patch is relevant, g_i how relevant it is, and R relevant patches
in the database,

    AP@k        = sum over i <= k of h_i (h_1 + .. + h_i) / i, divided by min(k, R)
    graded AP@k = sum over i <= k of h_i (g_1 + .. + g_i) / i, divided by min(k, R)

The latter is the weighted AP of Zhao et al. 2015 (https://arxiv.org/abs/1501.06272) with the Jaccard index as its gain.
Both are 1 where all that could be found is found first. Divided by the hits among the k instead, as in torchmetrics and
by Blumenstiel et al., one hit in the first place and none after it would be 1.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.integer]

AT_ONCE = 2**20
"""Pairs of a query and another patch that are in memory at the same time."""

DEPTHS = (10, 100)
"""How many of the nearest patches count."""

HEADINGS = {
    **{f"map_any_{k}": f"mAP@{k} any %" for k in DEPTHS},
    **{f"map_jaccard_{k}": f"mAP@{k} Jaccard %" for k in DEPTHS},
    **{f"precision_any_{k}": f"P@{k} any %" for k in DEPTHS},
}
"""The figures and what tables call them."""


class Database(NamedTuple):
    """What there is to be found of each query.

    Attributes:
        patches: how many there are.
        relevant: how many have any class of the query, shape (queries,).
        graded: what their Jaccard indices add up to, shape (queries,).
    """

    patches: int
    relevant: Doubles
    graded: Doubles


def gains(queries: Bools, database: Bools, found: Numbers) -> Floats:
    """The Jaccard index of each query with each of its nearest patches, shape (queries, k).

    It is above 0 where they share any class; of two empty sets it is 0.

    Args:
        queries: shape (queries, classes).
        database: shape (patches, classes).
        found: rows of the database, the nearest first, shape (queries, k).
    """
    asked, known = (
        np.packbits(targets, axis=1) for targets in (queries, database)
    )  # an eighth of what is gone through
    result = np.empty(found.shape, np.float32)
    for part in _parts(len(queries), found.shape[1]):
        ours, theirs = asked[part, None], known[found[part]]
        both, either = (np.bitwise_count(bits).sum(axis=2, dtype=np.float32) for bits in (ours & theirs, ours | theirs))
        result[part] = both / np.maximum(either, 1)
    return result


def there(queries: Bools, database: Bools) -> Database:
    """What there is to be found of each query; equal sets of classes are compared once."""
    asked, query = np.unique(queries, axis=0, return_inverse=True)
    known, counts = np.unique(database, axis=0, return_counts=True)
    relevant, graded = np.empty(len(asked)), np.empty(len(asked))
    ours, theirs = asked.astype(np.float32), known.astype(np.float32)
    sizes = theirs.sum(axis=1)
    for part in _parts(len(asked), len(known)):
        both = ours[part] @ theirs.T
        relevant[part] = (both > 0) @ counts
        either = ours[part].sum(axis=1)[:, None] + sizes - both
        graded[part] = (both / np.maximum(either, 1)).astype(np.float64) @ counts
    query = query.reshape(-1)
    return Database(len(database), relevant[query], graded[query])


def figures(gain: Floats, database: Database) -> dict[str, Doubles]:
    """The figures of each query, by the names of :data:`HEADINGS`, shape (queries,).

    Args:
        gain: the Jaccard index of its nearest patches, shape (queries, k); depths beyond k stop there.
        database: what there is.
    """
    hit = gain > 0
    rank = np.arange(1, gain.shape[1] + 1)
    found = {}
    for k in DEPTHS:
        most = min(k, gain.shape[1])
        for name, value in (("any", hit), ("jaccard", gain)):
            mean = np.cumsum(value[:, :most], axis=1, dtype=np.float64) / rank[:most]
            found[f"map_{name}_{k}"] = _ratio((mean * hit[:, :most]).sum(axis=1), np.minimum(most, database.relevant))
        found[f"precision_any_{k}"] = hit[:, :most].mean(axis=1)
    return found


def chance(database: Database, k: int) -> dict[str, Doubles]:
    """What :func:`figures` are of a database in random order, on the mean over all orders, shape (queries,).

    The patch at a place is relevant in R of N orders, and another of the R - 1 that are left, or of the N - 1, before
    it; so a product of h_i and g_j is G / N where i = j, and G (R - 1) / (N (N - 1)) else, with G the sum of all g.

    Args:
        database: what there is.
        k: how many of the nearest patches are known.
    """
    patches, relevant = database.patches, database.relevant
    found = {}
    for depth in DEPTHS:
        most = min(depth, k)
        rank = np.arange(1, most + 1)
        # Of the first `most` places, 1 / i of each is the patch itself and the rest those before it.
        own, before = (1 / rank).sum(), ((rank - 1) / rank).sum()
        for name, total in (("any", relevant), ("jaccard", database.graded)):
            expected = total / patches * (own + before * (relevant - 1) / max(patches - 1, 1))
            found[f"map_{name}_{depth}"] = _ratio(expected, np.minimum(most, relevant))
        found[f"precision_any_{depth}"] = relevant / patches
    return found


def _parts(count: int, width: int) -> Iterator[slice]:
    at_once = max(1, AT_ONCE // max(width, 1))
    return (slice(start, start + at_once) for start in range(0, count, at_once))


def _ratio(above: Doubles, below: Doubles) -> Doubles:
    """A quotient, 0 where nothing can be found."""
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)
