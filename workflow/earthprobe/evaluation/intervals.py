"""How sure metrics are: resampling of groups of patches that are not independent, and of repeats.

Each draw takes as many groups as there are, with replacement (the cluster bootstrap of Field and Welsh 2007,
https://doi.org/10.1111/j.1467-9868.2007.00593.x), and as many repeats as there are. All draws are computed at once: a
group that is drawn twice counts its patches twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from earthprobe.evaluation.metrics import METRICS_OF

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

DRAWS = 1000
LEVEL = 0.95


def intervals(
    targets: Bools,
    scores: Floats,
    groups: Sequence[Any],
    threshold: float,
    task: str,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """The percentile interval of each metric.

    Args:
        targets: shape (patches, classes).
        scores: shape (repeats, patches, classes).
        groups: of each patch, the group that it belongs to.
        threshold: a class is predicted where its score is above this.
        task: ``multilabel`` or ``single``.
        draws: how often groups and repeats are drawn.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    count, repeats = member.max() + 1, len(scores)
    of_groups = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    of_repeats = rng.multinomial(repeats, np.full(repeats, 1 / repeats), size=draws) / repeats
    weights = of_groups[:, member]
    values = [resampled(targets, scored, weights, threshold, task) for scored in scores]
    tail = 100 * (1 - LEVEL) / 2
    found = {}
    for metric in METRICS_OF[task]:
        drawn = sum(of_repeats[:, repeat] * values[repeat][metric.name] for repeat in range(repeats))
        low, high = np.nanpercentile(drawn, [tail, 100 - tail])
        found[metric.name] = (float(low), float(high))
    return found


def resampled(
    targets: Bools, scores: Floats, weights: Doubles, threshold: float, task: str = "multilabel"
) -> Mapping[str, Doubles]:
    """Each metric of each draw.

    Args:
        targets: shape (patches, classes).
        scores: shape (patches, classes).
        weights: how often each patch is drawn, shape (draws, patches).
        threshold: a class is predicted where its score is above this.
        task: ``multilabel`` or ``single``.
    """
    return (_single if task == "single" else _multilabel)(targets, scores, weights, threshold)


def _multilabel(targets: Bools, scores: Floats, weights: Doubles, threshold: float) -> dict[str, Doubles]:
    predicted = scores > threshold
    tp, fp, fn = (
        weights @ mask.astype(np.float64) for mask in (targets & predicted, ~targets & predicted, targets & ~predicted)
    )
    micro = [part.sum(axis=1) for part in (tp, fp, fn)]
    precisions = [average_precision(targets[:, i], scores[:, i], weights) for i in range(targets.shape[1])]
    return {
        "f2_macro": _f(2, tp, fp, fn).mean(axis=1),
        "f2_micro": _f(2, *micro),
        "hamming_loss": (fp + fn).sum(axis=1) / (weights.sum(axis=1) * targets.shape[1]),
        "precision_macro": _ratio(tp, tp + fp).mean(axis=1),
        "precision_micro": _ratio(micro[0], micro[0] + micro[1]),
        "f1_macro": _f(1, tp, fp, fn).mean(axis=1),
        "f1_micro": _f(1, *micro),
        "map_macro": np.mean(precisions, axis=0),
        "map_micro": average_precision(targets.ravel(), scores.ravel(), np.repeat(weights, targets.shape[1], axis=1)),
    }


def _single(targets: Bools, scores: Floats, weights: Doubles, threshold: float) -> dict[str, Doubles]:
    classes = targets.shape[1]
    true, best = targets.argmax(axis=1), scores.argmax(axis=1)
    predicted = np.eye(classes, dtype=bool)[best]
    tp, fp, fn = (
        weights @ mask.astype(np.float64) for mask in (targets & predicted, ~targets & predicted, targets & ~predicted)
    )
    total = weights.sum(axis=1)
    support, guessed = tp + fn, tp + fp
    expected = (support * guessed).sum(axis=1) / total
    right = tp.sum(axis=1)
    there = support > 0
    rank = (scores > np.take_along_axis(scores, true[:, None], axis=1)).sum(axis=1)
    return {
        "accuracy": right / total,
        "balanced_accuracy": np.where(there, _ratio(tp, support), 0).sum(axis=1) / there.sum(axis=1),
        "f1_macro": _f(1, tp, fp, fn).mean(axis=1),
        "kappa": _ratio(right - expected, total - expected),
        "top5_accuracy": weights @ (rank < 5).astype(np.float64) / total,
    }


def average_precision(targets: Bools, scores: Floats, weights: Doubles) -> Doubles:
    """The average precision of each draw, as scikit-learn defines it; 0 where a draw has no positive.

    Args:
        targets: shape (patches,).
        scores: shape (patches,).
        weights: shape (draws, patches).
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # equal scores are one threshold
    drawn = weights[:, order]
    hits = (drawn * targets[order]).cumsum(axis=1)[:, ends]
    precision = _ratio(hits, drawn.cumsum(axis=1)[:, ends])
    gained = np.diff(hits, axis=1, prepend=0)
    return _ratio((gained * precision).sum(axis=1), hits[:, -1])


def _f(beta: float, tp: Doubles, fp: Doubles, fn: Doubles) -> Doubles:
    return _ratio((1 + beta**2) * tp, (1 + beta**2) * tp + beta**2 * fn + fp)


def _ratio(above: Doubles, below: Doubles) -> Doubles:
    """A quotient, 0 where nothing is divided by."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)
