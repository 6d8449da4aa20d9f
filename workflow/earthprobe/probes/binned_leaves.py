"""What is around the growing of trees over binned features, compiled: bins, what leaves hold and who comes to them."""

from typing import Any

import numba
import numpy as np

from earthprobe.probes.binned_data import Bytes, Ints, Nodes, Patches
from earthprobe.probes.interface import Floats

AT_ONCE = 4096
"""Values that are held against an edge, which a processor's nearest cache holds."""


@numba.njit(cache=True, nogil=True)
def bins_of(values: Floats, edges: Floats, found: Bytes) -> None:
    """Counts how many edges are below each value; all of them are compared, which takes less than a search does.

    Args:
        values: shape (dimensions, patches).
        edges: shape (dimensions, bins - 1).
        found: where the counts go, shape as of ``values``.
    """
    for dimension in range(len(values)):
        for first in range(0, values.shape[1], AT_ONCE):
            here = values[dimension, first : first + AT_ONCE]
            counts = found[dimension, first : first + AT_ONCE]
            counts[:] = 0
            for edge in edges[dimension]:
                for patch in range(len(here)):
                    counts[patch] += np.uint8(here[patch] > edge)


@numba.njit(cache=True, nogil=True)
def shares_of_leaves(of: Patches, patches: Ints, nodes: Nodes, made: int, classes: int) -> Any:
    """The leaves of a tree.

    Args:
        of: all patches.
        patches: in the order of the leaves.
        nodes: the tree.
        made: how many nodes it has.
        classes: how many there are.

    Returns:
        - of each node the set that all patches of a leaf have; -1 for an inner node, and below that where a leaf of
          several sets is found: -2 is the first row;
        - the share of each class in leaves of several sets, shape (rows, classes).
    """
    found = np.full(made, -1, np.int32)
    several = 0
    for node in range(made):
        if nodes.feature[node] < 0:
            first = of.sets[patches[nodes.left[node]]]
            found[node] = first
            for place in range(nodes.left[node], nodes.right[node]):
                if of.sets[patches[place]] != first:
                    several += 1
                    found[node] = -1 - several
                    break
    shares = np.zeros((several, classes), np.float32)
    counts = np.zeros(classes, np.int64)
    for node in range(made):
        if found[node] < -1:
            counts[:] = 0
            weight = np.int64(0)
            for place in range(nodes.left[node], nodes.right[node]):
                patch = patches[place]
                weight += of.weights[patch]
                for one in range(of.starts[patch], of.starts[patch + 1]):
                    counts[of.classes[one]] += of.weights[patch]
            for c in range(classes):
                shares[-2 - found[node], c] = counts[c] / weight
    return found, shares


@numba.njit(cache=True, nogil=True)
def leaves_of(rows: Bytes, feature: Ints, edge: Ints, left: Ints, right: Ints) -> Ints:
    """The leaf that each patch comes to.

    Args:
        rows: bins, shape (patches, dimensions).
        feature: as in :class:`Nodes`, and so are the others.
        edge: the bin that decides.
        left: the left child.
        right: the right child.
    """
    found = np.empty(len(rows), np.int32)
    for patch in range(len(rows)):
        node = 0
        while feature[node] >= 0:
            node = left[node] if rows[patch, feature[node]] <= edge[node] else right[node]
        found[patch] = node
    return found
