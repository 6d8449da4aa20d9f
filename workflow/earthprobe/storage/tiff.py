"""Reading one band of one patch.

The published patches are plain TIFFs: little-endian, uncompressed, their strips one after the other. The bytes of
such a file already are the pixels, and one read is all; every other kind goes to tifffile, which knows them all.
"""

import math
import struct
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile

from earthprobe.sensors import SIZE

MOST_TAGS = 64

Plane = npt.NDArray[np.float32] | npt.NDArray[np.uint16]

# TIFF 6.0, section 8: what each tag must say in a file of one plain band; size and kind of number come to it.
PLAIN = {
    254: 0,  # NewSubfileType: the image itself
    259: 1,  # Compression: none
    262: 1,  # PhotometricInterpretation: black is zero
    277: 1,  # SamplesPerPixel
    284: 1,  # PlanarConfiguration
    317: 1,  # Predictor: none
}
WIDTH, LENGTH, BITS, SAMPLE_FORMAT = 256, 257, 258, 339
SAMPLE_FORMATS = {"float32": 3, "uint16": 1}
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTE_COUNTS = 273, 278, 279
NEEDED = {WIDTH, LENGTH, BITS, 259, SAMPLE_FORMAT, STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTE_COUNTS}
ASIDE = {282, 283, 296, 305, 33550, 33922, 34264, 34735, 34736, 34737, 42112}
"""Resolution, software, GeoTIFF's and GDAL's tags: no pixel depends on them."""
NODATA = 42113
"""GDAL's: the value, as text, of pixels that are missing."""
MASK, OVERVIEW = 4, 1
"""Bits of NewSubfileType: a page is a mask, which is 0 where a pixel is missing; or it is of lower resolution."""

WIDTHS = {3: ("H", 2), 4: ("I", 4)}  # the types SHORT and LONG


def decode_band(content: bytes, name: str, size: int = SIZE, dtype: str = "float32") -> Plane:
    """Decodes the file of a band of a patch, values unchanged.

    Args:
        content: the file.
        name: its name, for messages.
        size: the pixels along a side that the band must have.
        dtype: ``float32`` or ``uint16``, which they must be.

    Returns:
        Backscatter in dB or reflectance times 10,000, shape (size, size); it may be read-only.

    Raises:
        ValueError: the file is cut short, no TIFF, of another shape or type, or pixels are missing or not finite.
    """
    plain = _plain(content, size, dtype)
    missing: npt.NDArray[np.bool_] | None
    if plain is None:
        pixels, missing = _decode_any(content, name, size, dtype)
    else:
        little = np.dtype(dtype).newbyteorder("<")
        pixels = np.frombuffer(content, little, size * size, plain.start).reshape(size, size)
        missing = None if plain.nodata is None else equal_to(pixels, plain.nodata)
    if missing is not None and (count := np.count_nonzero(missing)):
        raise ValueError(f"{name} lacks {count} of {size * size} pixels: they are masked, or have its nodata value")
    if dtype == "float32" and not np.isfinite(pixels).all():
        raise ValueError(f"{name} holds NaN or infinite pixels")
    return pixels.astype(dtype, copy=False)  # the machine's byte order


def _decode_any(content: bytes, name: str, size: int, dtype: str) -> tuple[Plane, npt.NDArray[np.bool_]]:
    """The pixels, and which of them are missing."""
    try:
        with tifffile.TiffFile(BytesIO(content)) as file:
            # Asked before it is decoded: a damaged header can declare gigabytes.
            shape, found, page = file.series[0].shape, file.series[0].dtype, file.pages.first
            strips = math.prod(page.chunked)
            places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
            there = sum(1 for offset, count in places if offset and count)
            whole = len(page.dataoffsets) == len(page.databytecounts) == there == strips
            masks = [other for other in file.pages[1:] if other.subfiletype & (MASK | OVERVIEW) == MASK]
            if any(mask.shape != shape for mask in masks):
                raise ValueError("its mask has another shape")
            nodata = number_in(str(page.tags[NODATA].value)) if NODATA in page.tags else None
            if shape == (size, size) and found == np.dtype(dtype) and whole:
                pixels = file.asarray()
                missing = np.zeros(shape, bool) if nodata is None else equal_to(pixels, nodata)
                for mask in masks:
                    missing |= mask.asarray() == 0
            else:
                pixels = missing = None
    except Exception as error:  # a damaged TIFF makes tifffile raise almost anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{name} cannot be read: {reason}") from error
    if shape != (size, size):
        raise ValueError(f"{name} has shape {shape}, not ({size}, {size})")
    if found != np.dtype(dtype):
        raise ValueError(f"{name} holds {found}, not {dtype}")
    if pixels is None or missing is None:  # tifffile would fill the gap with zeros
        raise ValueError(f"{name} lacks strips or tiles: it has {there} of {strips}")
    plane: Plane = np.ascontiguousarray(pixels, dtype=dtype)
    return plane, missing


def equal_to(pixels: Plane, nodata: float) -> npt.NDArray[np.bool_]:
    """Which pixels have a value."""
    if math.isnan(nodata):
        return np.isnan(pixels)
    with np.errstate(over="ignore"):  # GDAL's lowest float64 is no float32
        return np.equal(pixels, nodata)


def number_in(text: str) -> float | None:
    """The number that a text is; None where it is none."""
    try:
        return float(text.strip("\0 "))
    except ValueError:
        return None


class _Text(NamedTuple):
    """Where a directory entry's text lies."""

    number: int
    at: int
    in_directory: bool

    def read(self, content: bytes, base: int) -> str:
        at = self.at + base if self.in_directory else self.at
        return content[at : at + self.number].decode("ascii", "replace")


class _Plain(NamedTuple):
    """Where the pixels of a plain file begin, and the value of those that are missing."""

    start: int
    nodata: float | None


def plain_start(content: bytes, size: int = SIZE, dtype: str = "float32") -> int | None:
    """Where the pixels of a plain file begin.

    Returns:
        The position of the first pixel, after which all others follow row by row; None for every other kind of
        file, and for one that is cut short or contradicts itself.
    """
    plain = _plain(content, size, dtype)
    return plain.start if plain else None


def _plain(content: bytes, size: int, dtype: str) -> _Plain | None:
    if len(content) < 8 or content[:4] != b"II*\0":
        return None
    base = int.from_bytes(content[4:8], "little") + 2
    tags = int.from_bytes(content[base - 2 : base], "little")
    end = base + 12 * tags
    if tags > MOST_TAGS or content[end : end + 4] != b"\0\0\0\0":  # cut short, or a second page follows
        return None
    strips = _strips(content[base:end], size, dtype)
    if strips is None:
        return None
    try:
        offsets = strips.offsets.read(content, base)
        counts = strips.counts.read(content, base)
    except struct.error:
        return None
    place = offsets[0]
    for offset, count, wanted in zip(offsets, counts, strips.wanted, strict=True):
        if offset != place or count != wanted:
            return None
        place += count
    overlaps = offsets[0] < 8 or (offsets[0] < end + 4 and place > base - 2)  # header or directory
    if overlaps or place > len(content):
        return None
    return _Plain(offsets[0], number_in(strips.nodata.read(content, base)) if strips.nodata else None)


class _Values(NamedTuple):
    """Where the values of a directory entry lie: in the directory if they fit, else elsewhere in the file."""

    number: int
    form: struct.Struct
    at: int
    in_directory: bool

    def read(self, content: bytes, base: int) -> tuple[int, ...]:
        return self.form.unpack_from(content, self.at + base if self.in_directory else self.at)


class _Strips(NamedTuple):
    offsets: _Values
    counts: _Values
    wanted: tuple[int, ...]
    """The bytes that each strip must have."""
    nodata: _Text | None


@lru_cache(maxsize=1024)
def _strips(directory: bytes, size: int, dtype: str) -> _Strips | None:
    """Understands a directory; files of one origin share theirs, so that this is done once and not per file."""
    width = np.dtype(dtype).itemsize
    plain = PLAIN | {WIDTH: size, LENGTH: size, BITS: 8 * width, SAMPLE_FORMAT: SAMPLE_FORMATS[dtype]}
    values: dict[int, int] = {}
    places: dict[int, _Values] = {}
    nodata: _Text | None = None
    for position in range(0, len(directory), 12):
        tag, kind, count = struct.unpack_from("<HHI", directory, position)
        if tag in ASIDE:
            continue
        if tag == NODATA:
            at = position + 8 if count <= 4 else int.from_bytes(directory[position + 8 : position + 12], "little")
            nodata = _Text(count, at, count <= 4)
            continue
        if tag in values or kind not in WIDTHS or not 1 <= count <= size:
            return None
        code, bytes_each = WIDTHS[kind]
        in_directory = count * bytes_each <= 4
        at = position + 8 if in_directory else int.from_bytes(directory[position + 8 : position + 12], "little")
        places[tag] = _Values(count, struct.Struct(f"<{count}{code}"), at, in_directory)
        values[tag] = struct.unpack_from(f"<{code}", directory, position + 8)[0]
        if tag in (STRIP_OFFSETS, STRIP_BYTE_COUNTS, ROWS_PER_STRIP):
            continue
        if count != 1 or values[tag] != plain.get(tag):
            return None
    if not values.keys() >= NEEDED or values[ROWS_PER_STRIP] == 0:
        return None
    rows = min(values[ROWS_PER_STRIP], size)
    wanted = tuple(min(rows, size - first) * size * width for first in range(0, size, rows))
    offsets, counts = places[STRIP_OFFSETS], places[STRIP_BYTE_COUNTS]
    if offsets.number != len(wanted) or counts.number != len(wanted) or places[ROWS_PER_STRIP].number != 1:
        return None
    return _Strips(offsets, counts, wanted, nodata)
