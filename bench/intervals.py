"""What intervals cost: metrics of resampled patches beside scikit-learn's, draw by draw."""

import time

import numpy as np
from earthprobe.evaluation.metrics import overall
from earthprobe.evaluation.resampling import Draws, drawn, numbered, resampled
from earthprobe.evaluation.runs import plain

from bench.tools import Row, peak_mib

PATCHES, CLASSES, TILES, DRAWS = 125_866, 43, 92, 1000
"""The test split of BigEarthNet v1."""

FEW = 3
"""Draws that scikit-learn takes, each as long as the next."""


def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, scores and tiles of patches."""
    rng = np.random.default_rng(0)
    targets = rng.random((PATCHES, CLASSES)) < 0.07
    scores = (0.2 * targets + rng.random(targets.shape)).astype(np.float32)
    return targets, scores, rng.integers(TILES, size=PATCHES)


def intervals(by: str) -> Row:
    """A thousand draws of all metrics: ours, and scikit-learn's of the drawn patches (of three draws, times 333)."""
    targets, scores, tiles = case()
    member = numbered(tiles if by == "tile" else np.arange(PATCHES))
    small = Draws(member[:1000], drawn(member, 2, 0).weights)
    resampled(targets[:1000], plain(scores[:1000], 0.5), small, "multilabel")  # compiled once
    start = time.perf_counter()
    draws = drawn(member, DRAWS, 0)
    found = resampled(targets, plain(scores, 0.5), draws, "multilabel")
    ours = time.perf_counter() - start
    start = time.perf_counter()
    for draw in range(FEW):
        rows = np.repeat(np.arange(PATCHES), draws.weights[member, draw])
        theirs = overall(targets[rows], scores[rows], 0.5)
        assert all(abs(found.overall[name][draw] - theirs[name]) < 1e-9 for name in theirs if name in found.overall)
    return Row(ours, (time.perf_counter() - start) / FEW * DRAWS, "s", less_is_better=True)


def memory() -> Row:
    """The peak memory of a thousand draws of single patches; the goal is 2 GiB."""
    peak, _ = peak_mib(_all)
    return Row(peak, None, "MiB", 2048, less_is_better=True)


def _all() -> None:
    targets, scores, _ = case()
    resampled(targets, plain(scores, 0.5), drawn(np.arange(PATCHES, dtype=np.int32), DRAWS, 0), "multilabel")
