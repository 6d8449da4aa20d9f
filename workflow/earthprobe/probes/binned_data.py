"""What the compiled growing of trees over binned features works on.

What numba has compiled is kept until its own file changes: who changes fields here edits ``binned_trees`` and
``binned_leaves``, too.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Doubles = npt.NDArray[np.float64]


class Patches(NamedTuple):
    """Patches as trees see them.

    Attributes:
        columns: the bin of each feature, shape (dimensions, patches).
        starts: where the classes of each patch start in ``classes``, shape (patches + 1,).
        classes: of all patches, one after the other.
        sets: which patches have the same classes: a number for each set of them, shape (patches,).
        weights: how often the bootstrap drew each, shape (patches,).
    """

    columns: Bytes
    starts: Ints
    classes: Ints
    sets: Ints
    weights: Ints


class Nodes(NamedTuple):
    """The nodes of a tree, its root first.

    Attributes:
        feature: the dimension that decides; -1 in a leaf.
        edge: a patch goes left if its bin is not above this.
        left: the left child; in a leaf where its patches start.
        right: the right child; in a leaf where its patches end.
    """

    feature: Ints
    edge: Ints
    left: Ints
    right: Ints


class Limits(NamedTuple):
    """What bounds a tree.

    Attributes:
        tried: features among which a node's split is sought.
        least: the fewest patches of a leaf.
        deepest: the most splits on the way to a leaf.
        bins: the most bins of a feature.
        classes: how many there are.
    """

    tried: int
    least: int
    deepest: int
    bins: int
    classes: int


class Room(NamedTuple):
    """Memory that is used again and again.

    Attributes:
        totals: the weight that has each class in a node.
        left: the same of the left side of a split.
        across: of each patch of a node, its weight times the totals of its classes.
        counts: patches a bin.
        weights: the same by weight.
        across_bins: of each bin the sum of ``across``.
        table: the weight that has each class in each bin.
        order: a node's patches by bin, and the right side of a split.
        features: dimensions in an order to draw from.
        state: of the generator.
    """

    totals: Doubles
    left: Doubles
    across: Doubles
    counts: Ints
    weights: Doubles
    across_bins: Doubles
    table: Doubles
    order: Ints
    features: Ints
    state: npt.NDArray[np.uint64]
