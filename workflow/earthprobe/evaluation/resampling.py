"""The metrics of resampled patches, all draws at once: the sums of each cluster are taken once and weighted anew.

A draw takes as many clusters of patches as there are, with replacement (the cluster bootstrap of Field and Welsh 2007,
https://doi.org/10.1111/j.1467-9868.2007.00593.x): a cluster that is drawn twice counts its patches twice. Counts of
true and false positives of all draws are one product of matrices; average precision goes through the sorted scores
once, adding the weights of all draws in the innermost loop.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from earthprobe.evaluation.calibration import BINS, bins_of
from earthprobe.evaluation.runs import Run

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int32]
Weights = npt.NDArray[np.uint16]

AT_ONCE = 2**12
"""Clusters whose weights are multiplied at the same time: 16 MiB of a thousand draws."""

WIDTH = 250
"""Draws whose calibration is added up in the innermost loop: their bins stay in the processor's first cache."""

WIDEST = 1500
"""The same of draws whose patches are counted, of which more fit; fewer draws at a time seek every patch more often."""

MOST = 200
"""Clusters that are left out one by one; more are left out in so many parts."""

DRAWN_AT_ONCE = 32
"""Draws that are written side by side, since memory comes in pieces of 64 bytes."""


class Draws(NamedTuple):
    """How often each cluster is drawn.

    Attributes:
        member: of each patch, the number of its cluster, shape (patches,).
        weights: shape (clusters, draws).
    """

    member: Numbers
    weights: Weights


class Resampled(NamedTuple):
    """Metrics of all draws.

    Attributes:
        overall: by name, shape (draws,).
        by_class: by name, shape (draws, classes).
    """

    overall: dict[str, Doubles]
    by_class: dict[str, Doubles]

    def of(self, draws: slice) -> "Resampled":
        """Some of the draws."""
        overall, by_class = ({name: values[draws] for name, values in of.items()} for of in self)
        return Resampled(overall, by_class)


def numbered(clusters: Sequence[Any]) -> Numbers:
    """Numbers the clusters of patches, in the order of their names."""
    return np.unique(np.asarray(clusters), return_inverse=True)[1].astype(np.int32)


def drawn(member: Numbers, draws: int, seed: int) -> Draws:
    """Draws clusters with replacement, as many as there are; draws of the same clusters and seed are the same."""
    weights = np.empty((int(member.max()) + 1, draws), np.uint16)
    _draw(weights, seed)
    return Draws(member, weights)


def without_one(member: Numbers, most: int = MOST) -> Draws:
    """Leaves clusters out in turn: each by itself or, of more than ``most``, so many parts of them."""
    count = int(member.max()) + 1
    weights = np.ones((count, min(count, most)), np.uint16)
    _leave_out(weights)
    return Draws(member, weights)


def all_draws(member: Numbers, draws: int, seed: int) -> Draws:
    """Clusters as they are, then those of :func:`drawn`, then those of :func:`without_one`.

    So scores are sorted once for all of them.
    """
    count = int(member.max()) + 1
    weights = np.ones((count, 1 + draws + min(count, MOST)), np.uint16)
    _draw(weights[:, 1 : 1 + draws], seed)
    _leave_out(weights[:, 1 + draws :])
    return Draws(member, weights)


def _draw(weights: Weights, seed: int) -> None:
    count, draws = weights.shape
    rng = np.random.default_rng(seed)
    for first in range(0, draws, DRAWN_AT_ONCE):
        some = weights[:, first : first + DRAWN_AT_ONCE]
        taken = [rng.integers(count, size=count) for _ in range(some.shape[1])]
        some[:] = np.stack([np.bincount(one, minlength=count).astype(np.uint16) for one in taken], axis=1)


def _leave_out(weights: Weights) -> None:
    count, parts = weights.shape
    part = np.random.default_rng(0).permutation(count) % parts if count > parts else np.arange(count)
    weights[np.arange(count), part] = 0


def resampled(targets: Bools, run: Run, draws: Draws, task: str, calibration: bool = True) -> Resampled:
    """Each metric of each draw.

    Args:
        targets: shape (patches, classes).
        run: scores of the same patches, with their thresholds and after their temperature.
        draws: of the patches.
        task: ``multilabel`` or ``single``.
        calibration: whether Brier scores and calibration errors are among them.
    """
    found = _single(targets, run.scores, draws) if task == "single" else _multilabel(targets, run, draws)
    for suffix, scores in (("", run.scores), ("_tempered", run.tempered)) if calibration else ():
        brier, errors = _calibration(targets, scores, draws)
        found.overall[f"brier{suffix}"] = brier * (targets.shape[1] if task == "single" else 1)
        found.overall[f"ece_macro{suffix}"] = errors.mean(axis=1)
        found.by_class[f"ece{suffix}"] = errors
    return found


def _multilabel(targets: Bools, run: Run, draws: Draws) -> Resampled:
    overall: dict[str, Doubles] = {}
    by_class: dict[str, Doubles] = {}
    predicted = [run.scores > threshold for threshold in run.thresholds.values()]
    ones = np.ones((len(targets), 1), bool)
    masks = [ones, targets, *(mask for one in predicted for mask in (one, targets & one))]
    # One product of matrices for all of them.
    sums = np.split(summed(np.hstack(masks), draws), np.cumsum([mask.shape[1] for mask in masks])[:-1], axis=1)
    (patches, support), counts = sums[:2], sums[2:]
    there = support > 0
    for rule, guessed, tp in zip(run.thresholds, counts[::2], counts[1::2], strict=True):
        suffix = "" if rule == "fixed" else f"_{rule}"
        found = _decided(tp, guessed - tp, support - tp, patches[:, 0])
        overall |= {f"{name}{suffix}": values for name, values in found.overall.items()}
        by_class |= {f"{name}{suffix}": values for name, values in found.by_class.items()}
    by_class["ap"] = average_precisions(targets, run.scores, draws)
    overall["map_macro"] = by_class["ap"].mean(axis=1)
    overall["map_macro_occurring"] = _mean_where(by_class["ap"], there)
    overall["map_micro"] = map_micro(targets, run.scores, draws)
    return Resampled(overall, by_class)


def _decided(tp: Doubles, fp: Doubles, fn: Doubles, patches: Doubles) -> Resampled:
    """The metrics of predictions by their true and false positives and false negatives, shape (draws, classes)."""
    micro = _by_class(*(part.sum(axis=1) for part in (tp, fp, fn)))
    by_class = _by_class(tp, fp, fn)
    there = tp + fn > 0
    overall = {"hamming_loss": (fp + fn).sum(axis=1) / (patches * tp.shape[1])}
    for name, values in by_class.items():
        overall |= {
            f"{name}_macro": values.mean(axis=1),
            f"{name}_macro_occurring": _mean_where(values, there),
            f"{name}_micro": micro[name],
        }
    return Resampled(overall, by_class)


def _single(targets: Bools, scores: Floats, draws: Draws) -> Resampled:
    classes = targets.shape[1]
    true, best = targets.argmax(axis=1), scores.argmax(axis=1)
    predicted = np.eye(classes, dtype=bool)[best]
    tp, fp, fn = (summed(mask, draws) for mask in (targets & predicted, ~targets & predicted, targets & ~predicted))
    rank = (scores > np.take_along_axis(scores, true[:, None], axis=1)).sum(axis=1)
    total, in_five = summed(np.column_stack([np.ones(len(rank), bool), rank < 5]), draws).T
    support, guessed = tp + fn, tp + fp
    expected = (support * guessed).sum(axis=1) / total
    right, there = tp.sum(axis=1), support > 0
    by_class = _by_class(tp, fp, fn)
    by_class["ap"] = average_precisions(targets, scores, draws)
    overall = {
        "accuracy": right / total,
        "balanced_accuracy": np.where(there, by_class["recall"], 0).sum(axis=1) / there.sum(axis=1),
        "f1_macro": by_class["f1"].mean(axis=1),
        "f1_macro_occurring": _mean_where(by_class["f1"], there),
        "kappa": _ratio(right - expected, total - expected),
        "top5_accuracy": in_five / total,
    }
    return Resampled(overall, by_class)


def _calibration(targets: Bools, scores: Floats, draws: Draws) -> tuple[Doubles, Doubles]:
    """The Brier score of each draw, and the calibration error of each class, shape (draws, classes)."""
    from earthprobe.evaluation.sweep import gaps

    missed = scores - targets
    patches = summed(np.ones((len(targets), 1), bool), draws)
    brier = summed(np.square(missed).mean(axis=1, keepdims=True), draws) / patches
    return brier[:, 0], gaps(draws.member, bins_of(scores.T), missed.T.copy(), draws.weights, BINS, WIDTH) / patches


def summed(mask: npt.NDArray[Any], draws: Draws) -> Doubles:
    """How many drawn patches a mask holds for (or what figures of theirs add up to), shape (draws, columns).

    Args:
        mask: shape (patches, columns).
        draws: of the patches.
    """
    clusters = len(draws.weights)
    # Whole numbers that are not too large have exact sums in half the bytes.
    size = np.bincount(draws.member, minlength=clusters).max() * int(draws.weights.max())
    whole = mask.dtype == bool and size * min(AT_ONCE, clusters) < 2**24
    dtype: Any = np.float32 if whole else np.float64
    counts = np.empty((mask.shape[1], clusters), dtype)
    for number, column in enumerate(mask.T):
        counts[number] = np.bincount(draws.member, weights=column, minlength=clusters)
    total = np.zeros((draws.weights.shape[1], mask.shape[1]))
    for start in range(0, clusters, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        total += draws.weights[part].T.astype(dtype) @ counts[:, part].T
    return total


def average_precisions(targets: Bools, scores: Floats, draws: Draws) -> Doubles:
    """The average precision of each class, as scikit-learn defines it; 0 where a draw has no positive.

    Args:
        targets: shape (patches, classes).
        scores: shape (patches, classes).
        draws: of the patches.

    Returns:
        Shape (draws, classes).
    """
    import numba

    from earthprobe.evaluation.sweep import sweep

    order = np.argsort(-scores.T, axis=1, kind="stable")
    ranked = np.take_along_axis(scores.T, order, axis=1)
    last = np.ones(ranked.shape, bool)  # equal scores are one threshold
    last[:, :-1] = ranked[:, 1:] != ranked[:, :-1]
    hit = np.take_along_axis(targets.T, order, axis=1)
    threads, count = numba.get_num_threads(), draws.weights.shape[1]
    width = count if targets.shape[1] >= threads else -(-count // threads)
    return sweep(draws.member[order], hit, last, draws.weights, min(width, WIDEST))


def map_micro(targets: Bools, scores: Floats, draws: Draws) -> Doubles:
    """The average precision of all pairs of a patch and a class together, shape (draws,)."""
    member = np.repeat(draws.member, targets.shape[1])
    return average_precisions(targets.reshape(-1, 1), scores.reshape(-1, 1), Draws(member, draws.weights))[:, 0]


def _by_class(tp: Doubles, fp: Doubles, fn: Doubles) -> dict[str, Doubles]:
    return {
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _f(1, tp, fp, fn),
        "f2": _f(2, tp, fp, fn),
    }


def _f(beta: float, tp: Doubles, fp: Doubles, fn: Doubles) -> Doubles:
    return _ratio((1 + beta**2) * tp, (1 + beta**2) * tp + beta**2 * fn + fp)


def _mean_where(values: Doubles, there: Bools) -> Doubles:
    """The mean over the classes that occur; 0 where none does."""
    return _ratio(np.where(there, values, 0).sum(axis=1), there.sum(axis=1).astype(np.float64))


def _ratio(above: Doubles, below: Doubles) -> Doubles:
    """A quotient, 0 where nothing is divided by."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)
