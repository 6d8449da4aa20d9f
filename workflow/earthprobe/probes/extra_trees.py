"""Scikit-learn's extremely randomised trees."""

from collections.abc import Callable
from pathlib import Path

from sklearn.ensemble import ExtraTreesClassifier

from earthprobe.probes.forest import Forest, grow
from earthprobe.probes.interface import Data, Fitted, Floats


def fit(
    data: Data,
    *,
    threads: int,
    n_estimators: int = 100,
    max_depth: int | None = None,
    min_samples_leaf: int = 1,
    seed: int = 0,
) -> Fitted:
    """Grows the forest; see :func:`earthprobe.probes.forest.grow`."""
    return grow(
        data,
        ExtraTreesClassifier,
        bootstrap=False,
        threads=threads,
        n_estimators=n_estimators,
        max_depth=max_depth,
        min_samples_leaf=min_samples_leaf,
        seed=seed,
    )


def read(model: Path) -> Callable[[Floats], Floats]:
    """A saved forest; see :mod:`earthprobe.probes.interface`."""
    return Forest.read(model).scores
