"""Growing trees over binned features, compiled; by itself, since numba takes time to import.

A split is sought among the edges of bins, and of a patch the classes that it has are looked at, not all. The Gini
impurity of both sides together, summed over the classes, is least where

    S_left / W_left + S_right / W_right

is greatest, P being the weight of the patches of a side that have a class, S the sum over the classes of P squared,
and W the weight of the side: all else in the weighted sum of p (1 - p), with p = P / W, is the same wherever the split
is. A patch that goes to the left changes S_left by its own classes alone, which are 3 of 43 in BigEarthNet; and with P
of the whole node, which is the same for all features, S_right is S - 2 sum(P P_left) + S_left.

The patches of a node keep their order, so that large nodes read a feature from its start to its end. Of :data:`NEAR`
patches or fewer all features are copied side by side, where the processor's cache holds them.

All that calls each other is in this file, since numba compiles anew what is in a changed file alone.
"""

from typing import Any

import numba
import numpy as np

from earthprobe.probes.binned_data import Bytes, Ints, Limits, Nodes, Patches, Room

NEAR = 1024

MANY = 128
"""Patches of a node from which on they are counted by bin and class, not sorted."""


@numba.njit(cache=True, nogil=True)
def _draw(state: Any, below: Any) -> Any:
    """A number below another one, by SplitMix64 (Steele, Lea and Flood 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(31))) >> np.uint64(32)
    return np.int64((z * np.uint64(below)) >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def _edge_of_few(of: Any, feature: Any, here: Any, whole: Any, least: Any, room: Any) -> Any:
    """The edge of one feature that parts a node best and how well it does; -1 where there is none, -2 for one bin.

    Patches are sorted by their bins, and go to the left one after the other.
    """
    column, counts, order, left = of.columns[feature], room.counts, room.order, room.left
    count = len(here)
    low = high = column[here[0]]
    for patch in here:
        low, high = min(low, column[patch]), max(high, column[patch])
    if low == high:
        return -2, 0.0
    # First where a bin starts, and when all are placed where it ends.
    counts[low : high + 2] = 0
    for patch in here:
        counts[column[patch] + 1] += 1
    for b in range(low, high):
        counts[b + 1] += counts[b]
    for k in range(count):
        b = column[here[k]]
        order[counts[b]] = k
        counts[b] += 1
    left[:] = 0.0
    weight = squares = across = 0.0
    best, edge, done = -1.0, -1, 0
    for b in range(low, high):
        end = counts[b]
        if end == done:
            continue
        for place in range(done, end):
            k = order[place]
            patch = here[k]
            w = float(of.weights[patch])
            weight += w
            across += room.across[k]
            for one in range(of.starts[patch], of.starts[patch + 1]):
                c = of.classes[one]
                squares += w * (2 * left[c] + w)
                left[c] += w
        done = end
        if done < least or count - done < least:
            continue
        gain = squares / weight + (whole[1] - 2 * across + squares) / (whole[0] - weight)
        if gain > best:
            best, edge = gain, b
    return edge, best


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def _edge_of_many(of: Any, feature: Any, here: Any, whole: Any, least: Any, room: Any) -> Any:
    """The same where patches are many: they are counted by bin and class, and bins go to the left.

    All sums are whole numbers that float64 holds, so that their order does not matter.
    """
    column, counts, weights, across, left, table = (
        of.columns[feature], room.counts, room.weights, room.across_bins, room.left, room.table,
    )  # fmt: skip
    counts[:] = 0
    weights[:] = 0.0
    across[:] = 0.0
    table[:] = 0.0
    for k in range(len(here)):
        patch = here[k]
        b = column[patch]
        w = float(of.weights[patch])
        counts[b] += 1
        weights[b] += w
        across[b] += room.across[k]
        row = table[b]
        for one in range(of.starts[patch], of.starts[patch + 1]):
            row[of.classes[one]] += w
    left[:] = 0.0
    weight = over = 0.0
    best, edge, done = -1.0, -2, 0
    for b in range(len(table)):
        if counts[b] == 0:
            continue
        if counts[b] == len(here):
            return -2, 0.0
        edge = max(edge, -1)
        done += counts[b]
        weight += weights[b]
        over += across[b]
        squares = 0.0
        row = table[b]
        for c in range(len(left)):
            left[c] += row[c]
            squares += left[c] * left[c]
        if done < least or len(here) - done < least or done == len(here):
            continue
        gain = squares / weight + (whole[1] - 2 * over + squares) / (whole[0] - weight)
        if gain > best:
            best, edge = gain, b
    return edge, best


@numba.njit(cache=True, nogil=True)
def _split(of: Any, here: Any, limits: Any, room: Any, many: Any) -> Any:
    """The feature and the edge that part a node best, of as many features as are tried; -1 where none does."""
    totals = room.totals
    totals[:] = 0.0
    weight = squares = most = 0.0
    for patch in here:
        w = float(of.weights[patch])
        weight += w
        for one in range(of.starts[patch], of.starts[patch + 1]):
            totals[of.classes[one]] += w
    for total in totals:
        squares += total * total
        most += total
    for k in range(len(here)):
        patch = here[k]
        across = 0.0
        for one in range(of.starts[patch], of.starts[patch + 1]):
            across += totals[of.classes[one]]
        room.across[k] = of.weights[patch] * across
    whole = (weight, squares)
    features, best, feature, edge, constant = room.features, -1.0, -1, -1, 0
    for drawn in range(len(features)):
        # As scikit-learn has it: a feature of one bin counts, but at least one of several is tried. And what parts a
        # node into two pure ones cannot be bettered.
        if (drawn >= limits.tried and drawn > constant) or best >= most * (1 - 1e-12):
            break
        other = drawn + _draw(room.state, len(features) - drawn)
        features[drawn], features[other] = features[other], features[drawn]
        if len(here) < many:
            found, gain = _edge_of_few(of, features[drawn], here, whole, limits.least, room)
        else:
            found, gain = _edge_of_many(of, features[drawn], here, whole, limits.least, room)
        constant += found == -2
        if found >= 0 and gain > best:
            best, feature, edge = gain, features[drawn], found
    return feature, edge


@numba.njit(cache=True, nogil=True)
def _grow(
    of: Any, patches: Any, nodes: Any, node: Any, made: Any, depth: Any, near: Any, many: Any, limits: Any, room: Any
) -> Any:
    """Grows what is below a node, as far as nodes of ``near`` patches.

    Returns:
        How many nodes there are then, and those that are left to grow: node, first and last patch, depth.
    """
    stack = [(node, 0, len(patches), depth)]
    later = [(0, 0, 0, 0) for _ in range(0)]
    while stack:
        node, start, end, depth = stack.pop()
        here = patches[start:end]
        if len(here) <= near:
            later.append((node, start, end, depth))
            continue
        feature, edge = -1, -1
        same = True
        for patch in here:
            same = same and of.sets[patch] == of.sets[here[0]]
        if not same and depth < limits.deepest and len(here) >= 2 * limits.least:
            feature, edge = _split(of, here, limits, room, many)
        nodes.feature[node], nodes.edge[node] = feature, edge
        if feature < 0:
            nodes.left[node], nodes.right[node] = start, end
            continue
        column, middle, aside = of.columns[feature], start, 0
        for place in range(start, end):
            patch = patches[place]
            if column[patch] <= edge:
                patches[middle] = patch
                middle += 1
            else:
                room.order[aside] = patch
                aside += 1
        patches[middle:end] = room.order[:aside]
        nodes.left[node], nodes.right[node] = made, made + 1
        stack.append((made + 1, middle, end, depth + 1))
        stack.append((made, start, middle, depth + 1))
        made += 2
    return made, later


@numba.njit(cache=True, nogil=True)
def grow(
    of: Patches,
    rows: Bytes,
    patches: Ints,
    nodes: Nodes,
    limits: Limits,
    seed: int,
    near: int = NEAR,
    many: int = MANY,
) -> int:
    """Grows a tree.

    Args:
        of: all patches.
        rows: the same bins patch by patch, shape (patches, dimensions).
        patches: those of weight; in the end in the order of the leaves.
        nodes: room for twice as many.
        limits: what bounds it.
        seed: of the features that are tried.
        near: patches of a node from which on its features are copied.
        many: patches from which on they are counted, not sorted.

    Returns:
        How many nodes it has.
    """
    dimensions, count = of.columns.shape
    classes = limits.classes
    room = Room(
        np.zeros(classes),
        np.zeros(classes),
        np.zeros(count),
        np.zeros(limits.bins + 2, np.int32),
        np.zeros(limits.bins),
        np.zeros(limits.bins),
        np.zeros((limits.bins, classes)),
        np.zeros(count, np.int32),
        np.arange(dimensions).astype(np.int32),
        np.full(1, seed, np.uint64),
    )
    made, later = _grow(of, patches, nodes, 0, 1, 0, near, many, limits, room)
    for node, start, end, depth in later:
        here = patches[start:end].copy()
        size = len(here)
        columns = np.empty((dimensions, size), np.uint8)
        starts = np.zeros(size + 1, np.int32)
        for k in range(size):
            columns[:, k] = rows[here[k]]
            starts[k + 1] = starts[k] + of.starts[here[k] + 1] - of.starts[here[k]]
        kinds = np.empty(starts[size], np.int32)
        for k in range(size):
            kinds[starts[k] : starts[k + 1]] = of.classes[of.starts[here[k]] : of.starts[here[k] + 1]]
        mine = Patches(columns, starts, kinds, of.sets[here], of.weights[here])
        order = np.arange(size).astype(np.int32)
        first = made
        made, _ = _grow(mine, order, nodes, node, made, depth, 0, many, limits, room)
        patches[start:end] = here[order]
        for other in range(first - 1, made):
            one = node if other < first else other
            if nodes.feature[one] < 0:
                nodes.left[one] += start
                nodes.right[one] += start
    return made  # type: ignore[no-any-return]
