"""A random forest over binned features: scikit-learn's in kind, not in bits, and many times faster."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earthprobe.probes.binned_data import Bytes, Ints, Limits, Nodes, Patches
from earthprobe.probes.forest import SCORED, Forest, Grown, Tree, fitted, put_together
from earthprobe.probes.interface import Bools, Data, Fitted, Floats

SEEN = 50_000
"""Patches by whose values edges are laid."""

TOGETHER = 16
"""Features whose values are read at once: they lie side by side in memory."""

UNLIMITED = 2**31 - 1


SAID: Mapping[str, Any] = {}
"""What ``metrics.json`` says beside the number of nodes."""


def trees(
    data: Data,
    *,
    threads: int,
    numbers: range,
    max_depth: int | None = None,
    min_samples_leaf: int = 1,
    bins: int = 64,
    seed: int = 0,
) -> Iterator[Grown]:
    """Grows some trees of the forest on train.

    As in scikit-learn's, a tree sees a bootstrap sample, and each of its nodes is split where the Gini impurity, summed
    over the classes, falls most, among as many features as the root of their number. Thresholds are quantiles of train.
    A tree depends on the seed and its own number alone.

    Args:
        data: features and labels.
        threads: CPU threads.
        numbers: which trees.
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
            feature, edge, left, right = (values[:made].copy() for values in nodes)
            found = {split: binned_leaves.leaves_of(rows[split], feature, edge, left, right) for split in SCORED}
            # A leaf says in which row its shares are.
            used, row = np.unique(leaf[leaf >= 0], return_inverse=True)
            left[leaf >= 0] = row
            left[leaf < -1] = len(used) - 2 - leaf[leaf < -1]
            inner = feature >= 0
            right[~inner] = -1
            threshold = np.zeros(made, np.float32)
            threshold[inner] = edges[feature[inner], edge[inner]]
            shares = np.concatenate([sets[used].astype(np.float32), several])
            tree = Tree(feature, threshold, left, right, shares)
            return Grown(tree, shares, {split: left[at] for split, at in found.items()})

        yield from pool.map(grown, numbers)


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
    """Grows the forest; see :func:`trees`."""
    grown = trees(
        data,
        threads=threads,
        numbers=range(n_estimators),
        max_depth=max_depth,
        min_samples_leaf=min_samples_leaf,
        bins=bins,
        seed=seed,
    )
    return fitted(grown, data, n_estimators, SAID)


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
        distinct = values[np.append(True, values[1:] > values[:-1])]
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
    from earthprobe.probes.binned_leaves import bins_of

    found = np.empty(features.shape, np.uint8)

    def sort(first: int) -> None:
        block = slice(first, first + TOGETHER)
        values = np.ascontiguousarray(features[:, block].T)
        bins = np.empty(values.shape, np.uint8)
        bins_of(values, edges[block], bins)
        found[:, block] = bins.T

    list(pool.map(sort, range(0, features.shape[1], TOGETHER)))
    return found


def _sets_of(targets: Bools) -> tuple[Bools, Ints]:
    """The distinct rows of labels, and which of them each patch has."""
    packed, kinds = np.unique(np.packbits(targets, axis=1), axis=0, return_inverse=True)
    return np.unpackbits(packed, axis=1, count=targets.shape[1]).astype(bool), kinds.ravel().astype(np.int32)


gathered = partial(put_together, said=SAID)


def read(model: Path) -> Callable[[Floats], Floats]:
    """A saved forest; see :mod:`earthprobe.probes.interface`."""
    return Forest.read(model).scores
