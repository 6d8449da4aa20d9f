"""Reading a band out of any raster file that users have: TIFF, PNG, JPEG or NPY, with one band or several."""

import hashlib
import math
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile

from earthprobe.sensors import Band
from earthprobe.storage.tiff import MASK, NODATA, OVERVIEW, equal_to, number_in

TYPES = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"}
"""What pixels can be."""

MOST_BYTES = 2**30
"""A damaged header can declare any size; no file of a patch has so many pixels."""

Plane = npt.NDArray[Any]


class Raster(NamedTuple):
    """A band of a file.

    Attributes:
        pixels: shape (height, width).
        missing: which of them are masked or have the file's nodata value; None where none are.
    """

    pixels: Plane
    missing: npt.NDArray[np.bool_] | None


class Stack(NamedTuple):
    """All bands of a file.

    Attributes:
        pixels: shape (bands, height, width).
        missing: shape (bands, height, width); None where no pixel is missing.
    """

    pixels: Plane
    missing: npt.NDArray[np.bool_] | None


def decode(content: bytes, name: str, number: int = 1) -> Raster:
    """Decodes a band of a file, values unchanged.

    Args:
        content: the file.
        name: its name, whose ending says what it is.
        number: of the band, from 1.

    Raises:
        ValueError: it cannot be read, or has no such band.
    """
    return band_of(decode_all(content, name), name, number)


def band_of(stack: Stack, name: str, number: int) -> Raster:
    """A band of those of a file.

    Raises:
        ValueError: there is none of this number.
    """
    if number > len(stack.pixels):
        raise ValueError(f"{name} has {len(stack.pixels)} bands, no {number}")
    missing = None if stack.missing is None else stack.missing[number - 1]
    return Raster(stack.pixels[number - 1], missing)


def decode_all(content: bytes, name: str) -> Stack:
    """Decodes all bands of a file, values unchanged.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        match name.lower().rpartition(".")[2]:
            case "tif" | "tiff":
                stack = _tiff(content)
            case "png" | "jpg" | "jpeg":
                stack = Stack(_bands_first(_picture(content, name), last=True), None)
            case "npy":
                stack = Stack(_bands_first(np.lib.format.read_array(BytesIO(content), allow_pickle=False)), None)
            case ending:
                raise ValueError(f"files that end in .{ending} are not read: .tif, .png, .jpg and .npy are")
    except Exception as error:  # a damaged file makes decoders raise almost anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{name} cannot be read: {reason}") from error
    if stack.pixels.dtype.name not in TYPES:
        raise ValueError(f"{name} holds {stack.pixels.dtype}, which is none of {', '.join(sorted(TYPES))}")
    return stack


def whole(raster: Raster, name: str, band: Band, fit: str | None, patch_id: str) -> Plane:
    """A band's pixels, where they are whole and as those of other patches.

    Raises:
        ValueError: they are not.
    """
    pixels, missing = raster
    if missing is not None and (count := np.count_nonzero(missing)):
        raise ValueError(f"{name} lacks {count} of {pixels.size} pixels: they are masked, or have its nodata value")
    if pixels.dtype.name != band.dtype:
        raise ValueError(f"{name} holds {pixels.dtype}, not {band.dtype}")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError(f"{name} holds NaN or infinite pixels")
    if fit in ("crop", "resize"):
        try:
            return fitted(pixels, band.size, fit, patch_id)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    if pixels.shape != (band.size, band.size):
        raise ValueError(f"{name} has shape {pixels.shape}, not ({band.size}, {band.size})")
    return pixels


def fitted(pixels: Plane, size: int, how: str, patch_id: str) -> Plane:
    """Brings a band to a square of so many pixels.

    Args:
        pixels: shape (height, width).
        size: pixels along a side afterwards.
        how: ``crop`` cuts a square out at a place that depends on the id alone, the same in all bands; ``resize`` is
            bilinear, over all pixels that become one where there are more of them.
        patch_id: the patch.

    Raises:
        ValueError: there are too few pixels to crop.
    """
    height, width = pixels.shape
    if (height, width) == (size, size):
        return pixels
    if how == "crop":
        if min(height, width) < size:
            raise ValueError(f"has {height} x {width} pixels, fewer than {size}")
        digest = hashlib.blake2b(patch_id.encode(), digest_size=8).digest()
        down, right = (int.from_bytes(part, "big") / 2**32 for part in (digest[:4], digest[4:]))
        top, left = math.floor(down * (height - size + 1)), math.floor(right * (width - size + 1))
        return pixels[top : top + size, left : left + size]
    from PIL import Image

    image = Image.fromarray(pixels.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR)
    resized: Plane = np.asarray(image)
    if pixels.dtype.kind in "iu":
        bounds = np.iinfo(pixels.dtype)
        resized = resized.round().clip(bounds.min, bounds.max)
    return resized.astype(pixels.dtype)


def _tiff(content: bytes) -> Stack:
    with tifffile.TiffFile(BytesIO(content)) as file:
        series, page = file.series[0], file.pages.first
        if series.nbytes > MOST_BYTES:
            raise ValueError(f"it declares {series.nbytes:,} bytes of pixels")
        if len(page.dataoffsets) != len(page.databytecounts) or not all(page.dataoffsets):
            raise ValueError("it lacks strips or tiles")
        pixels = series.asarray()
        places = [series.axes.index(axis) for axis in "YX"]
        pixels = np.moveaxis(pixels, places, (-2, -1)).reshape(-1, *(pixels.shape[place] for place in places))
        nodata = number_in(str(page.tags[NODATA].value)) if NODATA in page.tags else None
        missing = None if nodata is None else equal_to(pixels, nodata)
        for mask in (other for other in file.pages[1:] if other.subfiletype & (MASK | OVERVIEW) == MASK):
            masked = np.broadcast_to(mask.asarray() == 0, pixels.shape)
            missing = masked if missing is None else missing | masked
    return Stack(pixels, missing)


def _picture(content: bytes, name: str) -> Plane:
    import imagecodecs

    decoder = imagecodecs.png_decode if name.lower().endswith("png") else imagecodecs.jpeg8_decode
    decoded: Plane = decoder(content)
    return decoded


def _bands_first(pixels: Plane, *, last: bool = False) -> Plane:
    if pixels.ndim == 2:
        return pixels[None]
    if pixels.ndim != 3:
        raise ValueError(f"it has {pixels.ndim} dimensions, not 2 or 3")
    return np.moveaxis(pixels, -1, 0) if last else pixels
