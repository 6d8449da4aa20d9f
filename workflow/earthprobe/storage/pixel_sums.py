"""Sums over the pixels of a band that can be added up over shards."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass
class PixelSums:
    """Count, sum, sum of squares and extremes of pixels in their own unit, in float64.

    Float64 is exact to about 1e-12 dB for 4e9 pixels of tens of dB, and to a like share of reflectances, so that
    mean and standard deviation, rounded to a millionth or to six digits, do not depend on how the patches are sharded.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    smallest: float = math.inf
    largest: float = -math.inf

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> "PixelSums":
        """The sums over the pixels of one band of one patch."""
        wide = values.ravel().astype(np.float64)
        # Not a dot product: BLAS would wake all cores for each patch, and jobs side by side would fight for them.
        return cls(wide.size, float(wide.sum()), float(np.square(wide).sum()), float(values.min()), float(values.max()))

    def __add__(self, other: "PixelSums") -> "PixelSums":
        return PixelSums(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            min(self.smallest, other.smallest),
            max(self.largest, other.largest),
        )

    @property
    def mean(self) -> float:
        """Mean; nan without a pixel."""
        return round(self.total / self.count, _decimals(self._deviation)) if self.count else math.nan

    @property
    def std(self) -> float:
        """Standard deviation (population formula); nan without a pixel."""
        return round(self._deviation, _decimals(self._deviation)) if self.count else math.nan

    @property
    def _deviation(self) -> float:
        mean = self.total / self.count
        return math.sqrt(max(self.squares / self.count - mean * mean, 0.0))


def _decimals(deviation: float) -> int:
    """A millionth is enough of what varies by a tenth or more; of smaller units as many digits count."""
    return 6 if deviation >= 0.1 or deviation == 0 else 5 - math.floor(math.log10(deviation))
