"""What a row of a table scored on test, and what val says of it: thresholds and a temperature."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from earthprobe.evaluation.calibration import temperature, tempered
from earthprobe.evaluation.thresholds import tuned
from earthprobe.storage.scores import Fit, Test

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

RULES = ("fixed", "global", "per_class")
"""Where a class is predicted: above a given threshold, one tuned on val, or one a class."""


class Run(NamedTuple):
    """One scoring of the test patches, of one seed and repeat.

    Attributes:
        scores: shape (patches, classes).
        thresholds: by rule, of the shape of scores or one that broadcasts to it.
        tempered: scores after the temperature of val, the same shape as scores.
        temperatures: of each of its fits.
    """

    scores: Floats
    thresholds: Mapping[str, Floats]
    tempered: Floats
    temperatures: Sequence[float]

    def of(self, rows: Sequence[int]) -> "Run":
        """Some of the patches."""
        thresholds = {rule: np.broadcast_to(value, self.scores.shape)[rows] for rule, value in self.thresholds.items()}
        return Run(self.scores[rows], thresholds, self.tempered[rows], self.temperatures)


class Runs(NamedTuple):
    """A row of a table on the test patches.

    Attributes:
        ids: of the patches.
        targets: shape (patches, classes).
        runs: of each seed, a run a repeat.
    """

    ids: Sequence[str]
    targets: Bools
    runs: Sequence[Sequence[Run]]

    @property
    def every(self) -> list[Run]:
        """The runs of all seeds."""
        return [run for repeats in self.runs for run in repeats]


def runs_of(tests: Sequence[Test], threshold: float, task: str) -> Runs:
    """Gathers the scores of all seeds, and tunes on the val patches of each fit.

    Args:
        tests: of each seed, on the same test patches.
        threshold: the fixed one.
        task: ``multilabel`` or ``single``.
    """
    runs = [
        [run(scores, fits, threshold, task) for scores, fits in zip(test.scores, test.fits, strict=True)]
        for test in tests
    ]
    return Runs(tests[0].ids, tests[0].targets, runs)


def run(scores: Floats, fits: Sequence[Fit], threshold: float, task: str) -> Run:
    """What the val patches of each fit say of the test patches that it scored; without a fit nothing is tuned."""
    found = {rule: of_all(threshold, scores) for rule in RULES[1:]}
    cooled, temperatures = scores.copy(), []
    for fit in fits:
        whole = len(fit.tested) == len(scores)
        if task != "single":
            overall, per_class = tuned(fit.val_targets, fit.val_scores, threshold)
            for rule, value in (("global", overall), ("per_class", per_class)):
                if not whole and len(found[rule]) < len(scores):
                    found[rule] = np.repeat(found[rule], len(scores), axis=0)
                found[rule][slice(None) if whole else fit.tested] = value
        temperatures.append(temperature(fit.val_targets, fit.val_scores, task))
        cooled[fit.tested] = tempered(scores[fit.tested], temperatures[-1], task)
    return Run(scores, {"fixed": of_all(threshold, scores), **found}, cooled, temperatures)


def plain(scores: Floats, threshold: float) -> Run:
    """A run of which nothing is tuned."""
    return run(scores, (), threshold, "multilabel")


def of_all(threshold: float, scores: Floats) -> Floats:
    """A threshold that is the same for all classes, shape (1, classes)."""
    return np.full((1, scores.shape[1]), threshold, np.float32)
