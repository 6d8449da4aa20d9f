"""Whether a score of 0.3 means three patches of ten: Brier score, expected calibration error, and a temperature.

The error of a class is that of Guo et al. 2017 (https://arxiv.org/abs/1706.04599) in 15 bins of equal width; its mean
over classes is the class-wise one of Kull et al. 2019 (https://arxiv.org/abs/1910.12656).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, logsumexp, softmax

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

BINS = 15

NEAREST = 1e-6
"""How near a score may come to 0 or 1 before its logit is taken: a forest's are often exactly that."""

HOTTEST = 20.0
"""Temperatures from 1 / 20 to 20 are tried."""


class Bin(NamedTuple):
    """Scores of a bin.

    Attributes:
        low: where it begins.
        high: where it ends.
        pairs: of a patch and a class, how many.
        score: the mean of their scores; None where there is none.
        share: how many of them are true.
    """

    low: float
    high: float
    pairs: int
    score: float | None
    share: float | None


def bins_of(scores: Floats) -> npt.NDArray[np.uint8]:
    """The bin of each score."""
    return np.minimum(scores * BINS, BINS - 1).astype(np.uint8)


def reliability(targets: Bools, scores: Floats) -> list[Bin]:
    """What scores promise and what is true, in bins, over all classes."""
    bins = bins_of(scores).ravel()
    count = np.bincount(bins, minlength=BINS)
    score, share = (np.bincount(bins, weights=values.ravel(), minlength=BINS) for values in (scores, targets))
    found = []
    for number, pairs in enumerate(count.tolist()):
        means = (float(score[number]) / pairs, float(share[number]) / pairs) if pairs else (None, None)
        found.append(Bin(number / BINS, (number + 1) / BINS, pairs, *means))
    return found


def temperature(targets: Bools, scores: Floats, task: str) -> float:
    """By what logits are to be divided so that the cross-entropy of val is the lowest (Guo et al. 2017).

    Args:
        targets: shape (patches, classes).
        scores: shape (patches, classes).
        task: ``multilabel``, or ``single`` for classes of which a patch has one.
    """
    if not len(targets):
        return 1.0
    from scipy.optimize import minimize_scalar  # takes half of the time of all imports

    logits = _logits(scores, task)

    def loss(log_temperature: float) -> float:
        cooled = logits / np.float32(np.exp(log_temperature))
        if task == "single":
            return float((logsumexp(cooled, axis=1) - cooled[targets]).mean())
        return float((np.logaddexp(0, cooled) - targets * cooled).mean(dtype=np.float64))

    most = np.log(HOTTEST)
    found = minimize_scalar(loss, bounds=(-most, most), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def tempered(scores: Floats, temperature: float, task: str) -> Floats:
    """Scores whose logits are divided by a temperature."""
    logits = _logits(scores, task) / np.float32(temperature)
    found: Floats = softmax(logits, axis=1) if task == "single" else expit(logits)
    return found


def _logits(scores: Floats, task: str) -> Floats:
    if task == "single":
        return np.log(np.maximum(scores, NEAREST, dtype=np.float32))
    found: Floats = logit(np.clip(scores, np.float32(NEAREST), np.float32(1 - NEAREST)))
    return found
