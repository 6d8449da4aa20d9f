"""How sure metrics are: intervals from the draws of :mod:`earthprobe.evaluation.resampling`.

Percentile intervals, but for average precision: a draw has fewer distinct patches than there are, which flatters it, so
that it takes Efron's BCa interval, corrected for bias and acceleration (Efron 1987,
https://doi.org/10.1080/01621459.1987.10478410).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from earthprobe.evaluation.resampling import Draws, Resampled, drawn, numbered, resampled, without_one

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

DRAWS = 1000
LEVEL = 0.95

CORRECTED = ("ap", "map_macro", "map_micro")
"""Metrics whose intervals are BCa: means over the ranks of positives."""

Interval = tuple[float, float]


class Evaluated(NamedTuple):
    """How sure the metrics of some scores are.

    Attributes:
        overall: the interval of each metric.
        by_class: of each class, the interval of each of its metrics.
        draws: the values of each metric, shape (draws,), for comparisons on the same draws.
        left_out: those of :data:`CORRECTED` with each cluster left out in turn.
        clusters: how many were drawn from.
    """

    overall: dict[str, Interval]
    by_class: list[dict[str, Interval]]
    draws: dict[str, Doubles]
    left_out: dict[str, Doubles]
    clusters: int


def evaluated(
    targets: Bools,
    scores: Floats,
    clusters: Sequence[Any],
    threshold: float,
    task: str,
    draws: int = DRAWS,
    seed: int = 0,
) -> Evaluated:
    """The intervals of all metrics, by drawing clusters of patches, and repeats where there are several.

    Args:
        targets: shape (patches, classes).
        scores: shape (repeats, patches, classes); one repeat, but for folds.
        clusters: of each patch, the cluster that it belongs to.
        threshold: a class is predicted where its score is above this.
        task: ``multilabel`` or ``single``.
        draws: how often clusters and repeats are drawn.
        seed: of the draws.
    """
    member = numbered(clusters)
    chosen = drawn(member, draws, seed)
    taken = _mean(
        [resampled(targets, scored, chosen, threshold, task) for scored in scores],
        weights_of_repeats(len(scores), draws, seed),
    )
    whole, left_out = (
        _mean([resampled(targets, scored, part, threshold, task) for scored in scores], None)
        for part in (Draws(member, np.ones((int(member.max()) + 1, 1), np.uint16)), without_one(member))
    )
    overall = {
        name: interval(values, whole.overall[name][0], left_out.overall[name] if name in CORRECTED else None)
        for name, values in taken.overall.items()
    }
    by_class = [
        {
            name: interval(
                values[:, i], whole.by_class[name][0, i], left_out.by_class[name][:, i] if name in CORRECTED else None
            )
            for name, values in taken.by_class.items()
        }
        for i in range(targets.shape[1])
    ]
    kept = {name: left_out.overall[name] for name in CORRECTED if name in left_out.overall}
    return Evaluated(overall, by_class, taken.overall, kept, int(member.max()) + 1)


def weights_of_repeats(repeats: int, draws: int, seed: int) -> Doubles:
    """The share of each repeat in each draw, shape (draws, repeats)."""
    rng = np.random.default_rng((seed, 1))
    return rng.multinomial(repeats, np.full(repeats, 1 / repeats), size=draws) / repeats


def interval(values: Doubles, estimate: float, left_out: Doubles | None = None, level: float = LEVEL) -> Interval:
    """The interval of a figure.

    Args:
        values: of all draws, shape (draws,).
        estimate: the figure.
        left_out: the figure with each cluster left out in turn, for a BCa interval; None takes percentiles.
        level: the share of intervals that should hold the truth.
    """
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if left_out is not None and np.ptp(values) > 0:
        tails = corrected(tails, values, estimate, left_out)
    low, high = np.quantile(values, tails)
    return float(low), float(high)


def corrected(tails: Doubles, values: Doubles, estimate: float, left_out: Doubles) -> Doubles:
    """Which quantiles of the draws are the ends of a BCa interval (Efron 1987, equation 4.3)."""
    below = np.mean(values < estimate) + np.mean(values == estimate) / 2
    few = 1 / (len(values) + 1)
    bias = norm.ppf(np.clip(below, few, 1 - few))
    away = left_out.mean() - left_out
    spread = (away**2).sum() ** 1.5
    acceleration = (away**3).sum() / (6 * spread) if spread > 0 else 0.0
    shifted = bias + norm.ppf(tails)
    return np.asarray(norm.cdf(bias + shifted / (1 - acceleration * shifted)))


def _mean(repeats: Sequence[Resampled], weights: Doubles | None) -> Resampled:
    """The mean over repeats, each draw with weights of its own or, without, all alike."""
    if len(repeats) == 1:
        return repeats[0]

    def mean(values: Sequence[Mapping[str, Doubles]]) -> dict[str, Doubles]:
        if weights is None:
            return {name: np.mean([one[name] for one in values], axis=0) for name in values[0]}
        return {
            name: np.einsum("dr,rd...->d...", weights, np.stack([one[name] for one in values])) for name in values[0]
        }

    return Resampled(mean([one.overall for one in repeats]), mean([one.by_class for one in repeats]))
