"""Reading one band of one patch."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

SIZE = 120
"""Pixels along a side of a patch: 1,200 m at 10 m."""


def read_band(path: Path) -> npt.NDArray[np.float32]:
    """Reads a band of a patch, values unchanged.

    Returns:
        Backscatter in dB, shape (120, 120).

    Raises:
        ValueError: the file is missing, cut short, no TIFF, of another shape or type, or holds a value that
            is not finite.
    """
    try:
        pixels = tifffile.imread(path)
    except FileNotFoundError as error:
        raise ValueError(f"{path.name} is missing") from error
    except Exception as error:  # a damaged TIFF makes tifffile raise almost anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path.name} cannot be read: {reason}") from error
    if pixels.shape != (SIZE, SIZE):
        raise ValueError(f"{path.name} has shape {pixels.shape}, not ({SIZE}, {SIZE})")
    if pixels.dtype != np.float32:
        raise ValueError(f"{path.name} holds {pixels.dtype}, not float32")
    # A sum is finite only if every term is (dB values are far too small to overflow), and far cheaper than isfinite.
    with np.errstate(invalid="ignore"):
        total = pixels.sum(dtype=np.float64)
    if not math.isfinite(total):
        raise ValueError(f"{path.name} holds NaN or infinite pixels")
    return np.ascontiguousarray(pixels, dtype=np.float32)  # the machine's byte order
