"""A random forest over binned features: scikit-learn's in kind, not in bits, and many times faster."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from earthprobe.probes.binned_data import Bytes, Ints, Limits, Nodes, Patches
from earthprobe.probes.forest import Forest, Tree, saver
from earthprobe.probes.interface import Bools, Data, Fitted, Floats
from earthprobe.progress import Progress

log = logging.getLogger(__name__)

SEEN = 50_000
"""Patches by whose values edges are laid."""

UNLIMITED = 2**31 - 1


class Grown(NamedTuple):
    """A tree, and the rows of its ``shares`` that val and test come to."""

    tree: Tree
    rows: dict[str, Ints]


def fit(
    data: Data,
    *,
    threads: int,
    n_estimators: int = 100,
    max_depth: int | None = None,
    min_samples_leaf: int = 1,
    bins: int = 64,
    seed: int = 0,
) -> Fitted:
    """Grows a forest on train; val is scored, not used.

    As in scikit-learn's, a tree sees a bootstrap sample, and each of its nodes is split where the Gini impurity, summed
    over the classes, falls most, among as many features as the root of their number. Thresholds are quantiles of train.
    A tree depends on the seed and its own number alone.

    Args:
        data: features and labels.
        threads: CPU threads.
        n_estimators: the number of trees.
        max_depth: of a tree; None grows it until its leaves are pure.
        min_samples_leaf: the fewest patches of a leaf, each counted once.
        bins: in which the values of a feature are told apart.
        seed: of all that is drawn.
    """
    from earthprobe.probes import binned_leaves, binned_trees

    train = data.parts["train"]
    count, dimensions = train.features.shape
    classes = train.targets.shape[1]
    sets, kinds = _sets_of(train.targets)
    with ThreadPoolExecutor(threads) as pool:
        edges = edges_of(train.features, bins, seed, pool)
        rows = {split: binned(part.features, edges, pool) for split, part in data.parts.items()}
        columns = np.ascontiguousarray(rows["train"].T)
        starts = np.zeros(count + 1, np.int32)
        starts[1:] = np.cumsum(train.targets.sum(axis=1))
        which = np.nonzero(train.targets)[1].astype(np.int32)
        limits = Limits(max(1, int(np.sqrt(dimensions))), min_samples_leaf, max_depth or UNLIMITED, bins, classes)

        def grown(number: int) -> Grown:
            rng = np.random.default_rng([seed, number])
            weights = np.bincount(rng.integers(count, size=count), minlength=count).astype(np.int32)
            of = Patches(columns, starts, which, kinds, weights)
            patches = np.flatnonzero(weights).astype(np.int32)
            nodes = Nodes(*(np.empty(2 * len(patches), np.int32) for _ in Nodes._fields))
            made = binned_trees.grow(of, rows["train"], patches, nodes, limits, int(rng.integers(2**63)))
            leaf, several = binned_leaves.shares_of_leaves(of, patches, nodes, made, classes)
            feature, edge, left, right = (values[:made] for values in nodes)
            used, row = np.unique(leaf[leaf >= 0], return_inverse=True)
            left, right = left.copy(), np.where(feature < 0, -1, right).astype(np.int32)
            left[leaf >= 0] = row
            left[leaf < -1] = len(used) - 2 - leaf[leaf < -1]
            threshold = np.zeros(made, np.float32)
            inner = feature >= 0
            threshold[inner] = edges[feature[inner], edge[inner]]
            tree = Tree(
                feature.copy(), threshold, left, right, np.concatenate([sets[used].astype(np.float32), several])
            )
            found = {split: left[binned_leaves.leaves_of(rows[split], feature, edge, left, right)] for split in totals}
            return Grown(tree, found)

        totals = {split: np.zeros((len(data.parts[split].ids), classes)) for split in ("val", "test")}
        trees: list[Tree] = []
        progress = Progress(log, n_estimators, "trees")
        for one in pool.map(grown, range(n_estimators)):
            for split, total in totals.items():
                binned_leaves.add_shares(total, one.tree.shares, one.rows[split])
            trees.append(one.tree)
            progress.add(1)
    nodes = sum(len(tree.feature) for tree in trees)
    log.info("%d trees, %d nodes", len(trees), nodes)
    scores = {split: (total / len(trees)).astype(np.float32) for split, total in totals.items()}
    return Fitted(scores, {"nodes": nodes}, saver(trees, data))


def edges_of(features: Floats, bins: int, seed: int, pool: ThreadPoolExecutor) -> Floats:
    """Where the bins of each feature end: quantiles of some patches, halfway between their values.

    Returns:
        Shape (dimensions, bins - 1), rising; where a feature has fewer values the last are infinite.
    """
    rng = np.random.default_rng([seed, len(features)])
    chosen = np.sort(rng.choice(len(features), SEEN, replace=False)) if len(features) > SEEN else slice(None)
    seen = features[chosen]
    edges = np.full((features.shape[1], bins - 1), np.inf, np.float32)

    def lay(dimension: int) -> None:
        values = np.sort(seen[:, dimension])
        distinct = np.unique(values)
        if len(distinct) > bins:
            places = np.arange(1, bins) * len(values) // bins
            ends = np.unique(values[places - 1])
            after = distinct[np.minimum(np.searchsorted(distinct, ends, side="right"), len(distinct) - 1)]
        else:
            ends, after = distinct[:-1], distinct[1:]
        # Rounded down where the middle of two neighbouring numbers would be the upper one.
        middle = ends + (after - ends) / 2
        edges[dimension, : len(ends)] = np.where(middle < after, middle, ends)

    list(pool.map(lay, range(features.shape[1])))
    return edges


def binned(features: Floats, edges: Floats, pool: ThreadPoolExecutor) -> Bytes:
    """The bin of each value, that is how many edges are below it; shape (patches, dimensions)."""
    found = np.empty(features.shape, np.uint8)

    def sort(dimension: int) -> None:
        found[:, dimension] = np.searchsorted(edges[dimension], features[:, dimension], side="left")

    list(pool.map(sort, range(features.shape[1])))
    return found


def _sets_of(targets: Bools) -> tuple[Bools, Ints]:
    """The distinct rows of labels, and which of them each patch has."""
    packed, kinds = np.unique(np.packbits(targets, axis=1), axis=0, return_inverse=True)
    return np.unpackbits(packed, axis=1, count=targets.shape[1]).astype(bool), kinds.ravel().astype(np.int32)


def read(model: Path) -> Callable[[Floats], Floats]:
    """A saved forest; see :mod:`earthprobe.probes.interface`."""
    return Forest.read(model).scores
