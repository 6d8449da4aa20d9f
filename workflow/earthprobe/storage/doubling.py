"""Bands of twice the pixel, compiled; by itself, since numba takes time to import."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

NEAR, FAR = np.float32(0.75), np.float32(0.25)
"""Weights of the two pixels whose centres lie next to that of a pixel half as wide."""


@numba.njit(nogil=True, cache=True)
def double(planes: npt.NDArray[Any], out: npt.NDArray[np.float32]) -> None:
    """Brings planes to twice as many pixels along a side, bilinear; of 16-bit integers, whose sums are exact.

    Args:
        planes: shape (patches, size, size).
        out: where to, shape (patches, 2 * size, 2 * size).
    """
    patches, size, _ = planes.shape
    line = np.empty(size, np.float32)
    for i in range(patches):
        for row in range(2 * size):
            near = row // 2
            far = min(near + 1, size - 1) if row % 2 else max(near - 1, 0)
            for column in range(size):
                line[column] = NEAR * np.float32(planes[i, near, column]) + FAR * np.float32(planes[i, far, column])
            out[i, row, 0] = line[0]
            out[i, row, 2 * size - 1] = line[size - 1]
            for column in range(size - 1):
                left, right = line[column], line[column + 1]
                out[i, row, 2 * column + 1] = NEAR * left + FAR * right
                out[i, row, 2 * column + 2] = FAR * left + NEAR * right
