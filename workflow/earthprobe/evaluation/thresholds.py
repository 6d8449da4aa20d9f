"""Above which score a class is predicted: thresholds that maximise F2 on val.

F2 at 0.5 mostly ranks how scores are calibrated. All cuts between the scores of val are tried: of each class by itself,
and of all classes together for the mean of their F2.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

FEWEST = 50
"""Positives of val that a class needs for a threshold of its own."""


class Thresholds(NamedTuple):
    """Thresholds from val.

    Attributes:
        overall: one for all classes, which maximises F2 macro.
        per_class: one a class, which maximises its F2, shape (classes,); a class with few positives takes ``overall``.
    """

    overall: np.float32
    per_class: Floats


def tuned(targets: Bools, scores: Floats, otherwise: float, fewest: int = FEWEST) -> Thresholds:
    """The thresholds that maximise F2.

    Args:
        targets: shape (patches, classes).
        scores: shape (patches, classes).
        otherwise: the threshold where there is no positive at all.
        fewest: positives that a class needs for a threshold of its own.
    """
    classes = targets.shape[1]
    overall = np.float32(otherwise)
    per_class = np.full(classes, overall)
    support = targets.sum(axis=0)
    if not support.any():
        return Thresholds(overall, per_class)
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    f2 = _f2(np.take_along_axis(targets, order, axis=0), support)
    overall = _best_of_all(ranked, f2)
    for number in range(classes):
        own = support[number] >= fewest
        per_class[number] = _best(ranked[:, number], f2[:, number]) if own else overall
    return Thresholds(overall, per_class)


def _f2(hits: Bools, support: npt.NDArray[np.int64]) -> Doubles:
    """F2 of each class where its first 1, 2, ... patches are predicted, shape (patches, classes).

    5 TP / (5 TP + 4 FN + FP) is 5 TP / (4 support + predicted).
    """
    predicted = np.arange(1, len(hits) + 1)[:, None]
    found: Doubles = 5 * hits.cumsum(axis=0) / (4 * support + predicted)
    return found


def _best(ranked: Floats, f2: Doubles) -> np.float32:
    """The highest threshold with the best F2, halfway between the scores that it parts.

    Args:
        ranked: falling scores, shape (patches,).
        f2: F2 where the patches so far are predicted, the same shape.
    """
    # Equal scores are predicted together.
    cuts = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    cut = cuts[np.argmax(f2[cuts])]
    above = ranked[cut]
    below = ranked[cut + 1] if cut + 1 < len(ranked) else min(np.float32(0), above - 1)
    half = np.float32((np.float64(above) + np.float64(below)) / 2)
    return half if half < above else np.float32(below)


def _best_of_all(ranked: Floats, f2: Doubles) -> np.float32:
    """The same for one threshold of all classes, by the mean of their F2."""
    gained = np.diff(f2, axis=0, prepend=0).ravel()
    order = np.argsort(-ranked.ravel(), kind="stable")
    return _best(ranked.ravel()[order], gained[order].cumsum())
