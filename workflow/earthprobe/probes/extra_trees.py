"""Scikit-learn's extremely randomised trees."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sklearn.ensemble import ExtraTreesClassifier

from earthprobe.probes.forest import SAID, Forest, fitted, grow, put_together
from earthprobe.probes.interface import Data, Fitted, Floats

trees = partial(grow, forest=ExtraTreesClassifier, bootstrap=False)
gathered = partial(put_together, said=SAID)


def fit(
    data: Data,
    *,
    threads: int,
    n_estimators: int = 100,
    max_depth: int | None = None,
    min_samples_leaf: int = 1,
    seed: int = 0,
) -> Fitted:
    """Grows the forest."""
    grown = trees(
        data,
        threads=threads,
        numbers=range(n_estimators),
        max_depth=max_depth,
        min_samples_leaf=min_samples_leaf,
        seed=seed,
    )
    return fitted(grown, data, n_estimators, SAID)


def read(model: Path) -> Callable[[Floats], Floats]:
    """A saved forest; see :mod:`earthprobe.probes.interface`."""
    return Forest.read(model).scores
