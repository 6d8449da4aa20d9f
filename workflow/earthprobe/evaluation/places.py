"""Scores of a few patches that lie together: of a country, of a tile, or as far from train as each other."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from earthprobe.evaluation.clusters import FEWEST, Clusters
from earthprobe.evaluation.intervals import CORRECTED, Interval, interval, weights_of_runs
from earthprobe.evaluation.metrics import OF_FEW
from earthprobe.evaluation.resampling import Draws, drawn, numbered, resampled, without_one
from earthprobe.evaluation.runs import Run, of_all

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

EDGES = (0.0, 1.3, 1.8, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0, 200.0, float("inf"))
"""Kilometres between which patches are as far from train as each other; of a grid of 1.2 km the first two hold its
neighbours beside and across the corner."""

SMALL = 2**18
"""Pairs of a patch and a class below which threads would wait for each other longer than they work."""

REMEMBERED = 2**10
"""Clusters up to which draws are kept for other rows: 2 MiB."""


class Scored(NamedTuple):
    """The scores of some patches.

    Attributes:
        patches: how many.
        positives: pairs of a patch and a class that it has.
        classes: how many classes occur.
        values: by metric, means over seeds and repeats.
        intervals: by metric; none where there are too few patches.
        clusters: how many were drawn from.
        kind: what was drawn.
    """

    patches: int
    positives: int
    classes: int
    values: dict[str, float]
    intervals: dict[str, Interval]
    clusters: int
    kind: str


def scored(
    targets: Bools,
    runs: Sequence[Sequence[Floats]],
    clusters: Clusters,
    threshold: float,
    task: str,
    draws: int,
    seed: int,
) -> Scored:
    """The metrics of some patches; of fewer than 20, or of one cluster, without intervals.

    Args:
        targets: shape (patches, classes).
        runs: of each seed the scores of each repeat, of the shape of targets.
        clusters: of the patches.
        threshold: a class is predicted where its score is above this.
        task: ``multilabel`` or ``single``.
        draws: how often clusters, seeds and repeats are drawn.
        seed: of the draws.
    """
    import numba

    numba.set_num_threads(1 if targets.size < SMALL else numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    names = OF_FEW[task]
    every = [Run(scores, {"fixed": of_all(threshold, scores)}, scores, ()) for repeats in runs for scores in repeats]

    def figures(of: Draws) -> dict[str, Doubles]:
        """Of each run, shape (runs, draws)."""
        found = [resampled(targets, run, of, task, calibration=False).overall for run in every]
        return {name: np.stack([one[name] for one in found]) for name in names}

    member = numbered(clusters.names)
    count = int(member.max()) + 1
    sure = len(targets) >= FEWEST and count > 1
    more = [_weights(count, draws, seed), without_one(member).weights] if sure else []
    # Patches as they are, draws of them, and all but one cluster: scores are sorted once for all.
    found = figures(Draws(member, np.hstack([np.ones((count, 1), np.uint16), *more])))
    values = {name: float(of[:, 0].mean()) for name, of in found.items()}
    intervals = {}
    if sure:
        weights = weights_of_runs(len(runs), len(runs[0]), draws, seed)
        intervals = {
            name: interval(
                np.clip((weights.T * found[name][:, 1 : 1 + draws]).sum(axis=0), 0, 1),
                values[name],
                found[name][:, 1 + draws :].mean(axis=0) if name in CORRECTED else None,
            )
            for name in names
        }
    occurring = int(targets.any(axis=0).sum())
    return Scored(len(targets), int(targets.sum()), occurring, values, intervals, count, clusters.kind)


def _weights(count: int, draws: int, seed: int) -> npt.NDArray[np.uint16]:
    """How often each of so many clusters is drawn."""
    function = _kept if count <= REMEMBERED else _drawn
    return function(count, draws, seed)


def _drawn(count: int, draws: int, seed: int) -> npt.NDArray[np.uint16]:
    return drawn(np.arange(count, dtype=np.int32), draws, seed).weights


_kept = lru_cache(maxsize=64)(_drawn)


def bins_of(km: Doubles) -> npt.NDArray[np.int64]:
    """Between which of :data:`EDGES` distances are, the upper one counting; -1 where one is not known."""
    found = np.maximum(np.searchsorted(np.array(EDGES), km, side="left") - 1, 0)
    return np.where(np.isfinite(km), found, -1)
