"""How good a probe is on val, by which its options are chosen."""

import numpy as np

from earthprobe.probes.interface import Bools, Floats

BATCH = 64
"""Patches of a batch of Copernicus-Bench."""


def quality(scores: Floats, targets: Bools, select: str, task: str) -> float:
    """How good scores on val are, in place of their loss.

    Args:
        scores: shape (patches, classes).
        targets: shape (patches, classes).
        select: ``map_micro``; ``map_macro``, over the classes that occur; or ``map_micro_of_batches``, the mean over
            batches of 64 patches of their micro AP, as Copernicus-Bench chooses.
        task: where a patch has one class (``single``), it is the accuracy.
    """
    if task == "single":
        return float((scores.argmax(axis=1) == targets.argmax(axis=1)).mean())
    from sklearn.metrics import average_precision_score  # which takes a second, and most probes choose by their loss

    if select == "map_micro_of_batches":
        starts = range(0, len(targets), BATCH)
        parts = [(targets[start : start + BATCH], scores[start : start + BATCH]) for start in starts]
        values = [float(average_precision_score(*part, average="micro")) if part[0].any() else 0.0 for part in parts]
        return float(np.average(values, weights=[len(true) for true, _ in parts]))
    there = targets.any(axis=0)
    average = select.removeprefix("map_")
    return float(average_precision_score(targets[:, there], scores[:, there], average=average))
