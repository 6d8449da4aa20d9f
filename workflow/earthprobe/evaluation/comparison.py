"""Whether one row of a table is better than another: differences on the same draws.

Two rows that score the same patches are drawn together, so that what both find hard cancels out. The p value is that of
the bootstrap test: the share of draws whose difference is further from their mean than the observed one is from zero
(Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 16). Holm's step-down correction
(https://www.jstor.org/stable/4615733) holds over all comparisons of a table.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from earthprobe.evaluation.intervals import Interval, interval

Doubles = npt.NDArray[np.float64]

LEVEL = 0.05
"""Below this, two rows are told apart."""


class Figure(NamedTuple):
    """A metric of a row.

    Attributes:
        value: on the patches as they are.
        draws: shape (draws,).
        left_out: with each cluster left out in turn; None where its intervals are percentiles.
    """

    value: float
    draws: Doubles
    left_out: Doubles | None = None


class Difference(NamedTuple):
    """How much more one row has than another.

    Attributes:
        value: the difference.
        interval: its 95 % interval.
        p: how likely a difference so large is where there is none.
    """

    value: float
    interval: Interval
    p: float


def difference(one: Figure, other: Figure) -> Difference:
    """How much more the first has, of figures on the same draws."""
    value, draws = one.value - other.value, one.draws - other.draws
    left_out = None if one.left_out is None or other.left_out is None else one.left_out - other.left_out
    return Difference(value, interval(draws, value, left_out), p_value(draws, value))


def p_value(draws: Doubles, value: float) -> float:
    """The two-sided p value of a difference; never 0, since draws are finite (Davison and Hinkley 1997, 4.2.5)."""
    extreme = np.count_nonzero(np.abs(draws - draws.mean()) >= abs(value))
    return float((1 + extreme) / (len(draws) + 1))


def holm(values: Sequence[float]) -> list[float]:
    """P values that hold for all comparisons together, in the given order."""
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    highest = 0.0
    for rank, row in enumerate(order):
        highest = max(highest, (len(values) - rank) * values[row])
        adjusted[row] = min(highest, 1.0)
    found: list[float] = adjusted.tolist()
    return found
