"""How sure metrics are: intervals from the draws of :mod:`earthprobe.evaluation.resampling`.

Percentile intervals, but for average precision: a draw has fewer distinct patches than there are, which flatters it, so
that it takes Efron's BCa interval, corrected for bias and acceleration (Efron 1987,
https://doi.org/10.1080/01621459.1987.10478410).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from earthprobe.evaluation.resampling import Resampled, all_draws, numbered, resampled
from earthprobe.evaluation.runs import Run

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

DRAWS = 1000
LEVEL = 0.95

CORRECTED = (
    "ap",
    "map_macro",
    "map_macro_occurring",
    "map_micro",
)
"""Metrics whose intervals are BCa: means over the ranks of positives."""

SHIFTED = ("ece", "ece_tempered", "ece_macro", "ece_macro_tempered")
"""Metrics that chance makes larger, in a draw once more: their draws are shifted to the figure as their mean."""

RANGES = {"kappa": (-1, 1), "brier": (0, 2)}
"""What metrics can be that are not between 0 and 1."""

Interval = tuple[float, float]


class Evaluated(NamedTuple):
    """How sure the metrics of some scores are.

    Attributes:
        overall: the interval of each metric.
        by_class: of each class, the interval of each of its metrics.
        values: the metrics, means over the runs.
        values_by_class: those of each class, shape (classes,).
        each: the metrics of each run, by seed and repeat.
        draws: the values of each metric, shape (draws,), for comparisons on the same draws.
        left_out: those of :data:`CORRECTED` with each cluster left out in turn.
        clusters: how many were drawn from.
    """

    overall: dict[str, Interval]
    by_class: list[dict[str, Interval]]
    values: dict[str, float]
    values_by_class: dict[str, Doubles]
    each: list[dict[str, float]]
    draws: dict[str, Doubles]
    left_out: dict[str, Doubles]
    clusters: int


def evaluated(
    targets: Bools,
    runs: Sequence[Sequence[Run]],
    clusters: Sequence[Any],
    task: str,
    draws: int = DRAWS,
    seed: int = 0,
    calibration: bool = True,
) -> Evaluated:
    """The intervals of all metrics, by drawing clusters of patches, and seeds and repeats where there are several.

    Args:
        targets: shape (patches, classes).
        runs: of each seed, its repeats.
        clusters: of each patch, the cluster that it belongs to.
        task: ``multilabel`` or ``single``.
        draws: how often clusters, seeds and repeats are drawn.
        seed: of the draws.
        calibration: whether Brier scores and calibration errors are among the metrics.
    """
    member = numbered(clusters)
    all_of = all_draws(member, draws, seed)
    every = [resampled(targets, run, all_of, task, calibration) for repeats in runs for run in repeats]
    once, chosen, without = (
        [one.of(part) for one in every] for part in (slice(1), slice(1, 1 + draws), slice(1 + draws, None))
    )
    taken = _mean(chosen, weights_of_runs(len(runs), len(runs[0]), draws, seed))
    whole, left_out = _mean(once, None), _mean(without, None)
    overall = {
        name: interval(
            shifted(name, values, whole.overall[name][0]),
            whole.overall[name][0],
            left_out.overall[name] if name in CORRECTED else None,
        )
        for name, values in taken.overall.items()
    }
    by_class = [
        {
            name: interval(
                shifted(name, values[:, i], whole.by_class[name][0, i]),
                whole.by_class[name][0, i],
                left_out.by_class[name][:, i] if name in CORRECTED else None,
            )
            for name, values in taken.by_class.items()
        }
        for i in range(targets.shape[1])
    ]
    return Evaluated(
        overall,
        by_class,
        {name: float(values[0]) for name, values in whole.overall.items()},
        {name: values[0] for name, values in whole.by_class.items()},
        [{name: float(values[0]) for name, values in one.overall.items()} for one in once],
        taken.overall,
        {name: left_out.overall[name] for name in CORRECTED if name in left_out.overall},
        int(member.max()) + 1,
    )


def weights_of_runs(seeds: int, repeats: int, draws: int, seed: int) -> Doubles:
    """The share of each seed's each repeat in each draw, shape (draws, seeds x repeats).

    Both are drawn with replacement. Of n, a draw varies by (n - 1) / n of what a mean over n does, so that shares are
    stretched away from 1 / n by the root of n / (n - 1) (Rao and Wu 1988,
    https://doi.org/10.1080/01621459.1988.10478591).
    """

    def shares(count: int, stream: int) -> Doubles:
        if count == 1:
            return np.ones((draws, 1))
        rng = np.random.default_rng((seed, stream))
        taken = rng.multinomial(count, np.full(count, 1 / count), size=draws) / count
        return np.asarray(1 / count + (taken - 1 / count) * np.sqrt(count / (count - 1)))

    both: Doubles = np.einsum("ds,dr->dsr", shares(seeds, 2), shares(repeats, 1))
    return both.reshape(draws, -1)


def shifted(name: str, values: Doubles, estimate: float) -> Doubles:
    """The draws of a metric, those of :data:`SHIFTED` around the figure as far as such errors go."""
    return np.clip(values - values.mean() + estimate, 0, 1) if name in SHIFTED else values


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
    bias = ndtri(np.clip(below, few, 1 - few))
    away = left_out.mean() - left_out
    spread = (away**2).sum() ** 1.5
    acceleration = (away**3).sum() / (6 * spread) if spread > 0 else 0.0
    shifted = bias + ndtri(tails)
    return np.asarray(ndtr(bias + shifted / (1 - acceleration * shifted)))


def _mean(runs: Sequence[Resampled], weights: Doubles | None) -> Resampled:
    """The mean over runs, each draw with weights of its own or, without, all alike."""
    if len(runs) == 1:
        return runs[0]

    def mean(values: Sequence[Mapping[str, Doubles]]) -> dict[str, Doubles]:
        if weights is None:
            return {name: np.mean([one[name] for one in values], axis=0) for name in values[0]}
        # A stretched share may be below 0, and lead out of what a metric can be.
        return {
            name: np.clip(
                np.einsum("dr,rd...->d...", weights, np.stack([one[name] for one in values])),
                *RANGES.get(name.removesuffix("_tempered"), (0, 1)),
            )
            for name in values[0]
        }

    return Resampled(mean([one.overall for one in runs]), mean([one.by_class for one in runs]))
