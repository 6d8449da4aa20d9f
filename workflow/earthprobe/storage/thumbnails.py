"""Small pictures of many patches, so that a page can hold them."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

Pictures = npt.NDArray[np.uint8]

SIDE = 8
"""Pictures along a side of a sheet: one file of many needs no header for each, and a page opens few of them."""

SIZES = (120, 96, 80, 64, 48, 32)
"""Pixels along a side that a picture may have."""

QUALITY = 60
"""WebP's: at twice the bytes, hardly any difference is seen at this size."""

TRIAL = 2 * SIDE**2
"""Pictures by which bytes are foretold."""


def small(picture: Pictures, size: int) -> Pictures:
    """A picture with so many pixels along a side, each the mean of those below it.

    Args:
        picture: shape (height, width, 3).
        size: pixels along a side.
    """
    if picture.shape[:2] == (size, size):
        return picture
    resampling = Image.Resampling.BOX if picture.shape[0] > size else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((size, size), resampling))


def sheets(pictures: Pictures) -> list[bytes]:
    """Pictures on WebP sheets, row by row, :data:`SIDE` in a row and as many rows.

    Args:
        pictures: shape (pictures, size, size, 3).
    """
    size = pictures.shape[1]
    results = []
    for start in range(0, len(pictures), SIDE**2):
        here = pictures[start : start + SIDE**2]
        sheet = np.zeros((SIDE**2, size, size, 3), np.uint8)
        sheet[: len(here)] = here
        whole = sheet.reshape(SIDE, SIDE, size, size, 3).transpose(0, 2, 1, 3, 4).reshape(SIDE * size, SIDE * size, 3)
        stream = io.BytesIO()
        Image.fromarray(whole).save(stream, "webp", quality=QUALITY, method=2)
        results.append(stream.getvalue())
    return results


def size_that_fits(trials: Sequence[Pictures], counts: Sequence[int], room: int) -> tuple[int, float]:
    """How large pictures can be so that all fit, or how many do at the smallest size.

    Args:
        trials: some pictures of each sensor, shape (pictures, height, width, 3); none of a sensor that has none.
        counts: how many pictures of each sensor there are.
        room: bytes that they may take.

    Returns:
        Pixels along a side, and the share of the pictures that fits.
    """
    for size in SIZES:
        needed = 0.0
        for pictures, count in zip(trials, counts, strict=True):
            if len(pictures):
                reduced = np.stack([small(picture, size) for picture in pictures])
                needed += count / len(pictures) * sum(map(len, sheets(reduced)))
        if needed <= room:
            return size, 1.0
    return SIZES[-1], max(0.0, room / needed) if needed else 1.0
