"""Which patches a budget of labels buys: whole tiles, drawn at random, and each class at least once where it can be.

Labels are made place by place, so that a thousand of them are of few tiles. The patches of a draw have one order, of
which a budget takes the first: a smaller one is a part of each larger one.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]


def ordered(targets: Bools, clusters: Sequence[str], seed: Sequence[int]) -> Rows:
    """The order in which patches are labelled.

    First comes a patch of each class, from the rarest on, unless one before it has the class; then one cluster after
    the other.

    Args:
        targets: shape (patches, classes).
        clusters: of each patch, the tile or scene that it belongs to.
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    support = targets.sum(axis=0)
    first: list[int] = []
    covered = support == 0
    for number in np.argsort(support, kind="stable"):
        if not covered[number]:
            first.append(int(rng.choice(np.flatnonzero(targets[:, number]))))
            covered |= targets[first[-1]]
    member = np.unique(np.asarray(clusters), return_inverse=True)[1]
    place = rng.permutation(member.max(initial=0) + 1)[member]
    order = np.lexsort((rng.permutation(len(member)), place))
    return np.concatenate([np.array(first, np.intp), order[~np.isin(order, first)]])


def shared(budget: int, train: int, val: int) -> int:
    """How many val patches stand beside so many train patches: as many in proportion, and one at the least."""
    return min(val, max(1, round(budget * val / train)))
