"""Scikit-learn's extremely randomised trees."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sklearn.ensemble import ExtraTreesClassifier

from earthprobe.probes.forest import SAID, Forest, Grown, fitted, grow, read_part
from earthprobe.probes.interface import Data, Fitted, Floats


def trees(
    data: Data,
    *,
    threads: int,
    numbers: range,
    max_depth: int | None = None,
    min_samples_leaf: int = 1,
    seed: int = 0,
) -> Iterator[Grown]:
    """Grows some trees of the forest; see :func:`earthprobe.probes.forest.grow`."""
    return grow(
        data,
        ExtraTreesClassifier,
        bootstrap=False,
        threads=threads,
        numbers=numbers,
        max_depth=max_depth,
        min_samples_leaf=min_samples_leaf,
        seed=seed,
    )


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


def gathered(data: Data, *, parts: Sequence[Path], threads: int, n_estimators: int = 100, **_: Any) -> Fitted:
    """The forest of trees that several jobs have grown, the same to the byte."""
    return fitted(chain.from_iterable(map(read_part, parts)), data, n_estimators, SAID)


def read(model: Path) -> Callable[[Floats], Floats]:
    """A saved forest; see :mod:`earthprobe.probes.interface`."""
    return Forest.read(model).scores
