"""Where a GeoTIFF lies: what its tags say of its corners (OGC GeoTIFF 1.1, https://docs.ogc.org/is/19-008r4)."""

import functools
import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pyproj import Transformer
from pyproj.exceptions import ProjError

Doubles = npt.NDArray[np.float64]

WIDTH, LENGTH, SCALE, TIEPOINT, KEYS = 256, 257, 33550, 33922, 34735
FORMS = {3: "H", 4: "I", 12: "d"}  # the types SHORT, LONG and DOUBLE
RASTER_TYPE, GEOGRAPHIC, PROJECTED = 1025, 2048, 3072
POINT = 2
"""Of the raster type: the tie point is a pixel's centre, and no corner."""
OWN = 32767
"""A coordinate system that the file describes itself, without a number."""
MOST_TAGS = 64


class Frame(NamedTuple):
    """The extent of a raster whose rows run east.

    Attributes:
        epsg: the number of its coordinate system.
        west: its western edge in that system's units; the others likewise.
        south: its southern edge.
        east: its eastern edge.
        north: its northern edge.
    """

    epsg: int
    west: float
    south: float
    east: float
    north: float


class _Tag(NamedTuple):
    """Where the values of a tag are: in its directory or elsewhere in the file."""

    form: str
    at: int
    in_directory: bool


def frame_of(content: bytes) -> Frame | None:
    """The extent that the tags of a TIFF's first page say; None where they say none, or of a turned raster."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None or len(content) < 8:
        return None
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    try:
        (count,) = struct.unpack_from(f"{order}H", content, start)
        if count > MOST_TAGS:
            return None
        base = start + 2
        tags = _tags(content[base : base + 12 * count], order)
        found = {
            number: struct.unpack_from(tag.form, content, tag.at + base if tag.in_directory else tag.at)
            for number, tag in tags.items()
        }
        return _frame(found)
    except (struct.error, OverflowError, ValueError, IndexError):
        return None


@functools.lru_cache(maxsize=1024)
def _tags(directory: bytes, order: str) -> Mapping[int, _Tag]:
    """What is needed of a directory; files of one origin share theirs."""
    found = {}
    for position in range(0, len(directory), 12):
        number, kind, count = struct.unpack_from(f"{order}HHI", directory, position)
        if number not in (WIDTH, LENGTH, SCALE, TIEPOINT, KEYS) or kind not in FORMS or count > 4096:
            continue
        form = f"{order}{count}{FORMS[kind]}"
        inside = struct.calcsize(form) <= 4
        at = position + 8 if inside else struct.unpack_from(f"{order}I", directory, position + 8)[0]
        found[number] = _Tag(form, at, inside)
    return found


def _frame(tags: Mapping[int, tuple[float, ...]]) -> Frame | None:
    if not tags.keys() >= {WIDTH, LENGTH, SCALE, TIEPOINT, KEYS} or len(tags[SCALE]) < 2 or len(tags[TIEPOINT]) != 6:
        return None
    directory = [int(value) for value in tags[KEYS]]
    # A key is four numbers: which, where its value is (0: here), how many, and the value; four of the header precede.
    keys = {key: value for key, there, _, value in zip(*[iter(directory[4:])] * 4, strict=False) if there == 0}
    epsg = keys.get(PROJECTED, keys.get(GEOGRAPHIC, OWN))
    if epsg in (0, OWN):
        return None
    across, down = tags[SCALE][:2]
    column, row, _, x, y, _ = tags[TIEPOINT]
    half = 0.5 if keys.get(RASTER_TYPE) == POINT else 0.0
    west, north = x - (column + half) * across, y + (row + half) * down
    frame = Frame(epsg, west, north - down * tags[LENGTH][0], west + across * tags[WIDTH][0], north)
    return frame if np.isfinite(frame).all() and across > 0 and down > 0 else None


def centre(frame: Frame) -> tuple[float, float]:
    """The middle of a frame: longitude and latitude in degrees (WGS 84).

    Raises:
        ValueError: its coordinate system is not known.
    """
    epsg, west, south, east, north = frame
    longitude, latitude = transformer(epsg).transform((west + east) / 2, (south + north) / 2)
    return longitude, latitude


def corners(frame: Frame) -> Doubles:
    """The corners of a frame, counter-clockwise from the south-west.

    Returns:
        Longitude and latitude in degrees (WGS 84), shape (4, 2).

    Raises:
        ValueError: its coordinate system is not known.
    """
    west, south, east, north = frame[1:]
    places = np.array([[west, south], [east, south], [east, north], [west, north]])
    return np.column_stack(transformer(frame.epsg).transform(*places.T))


def disagreement(frame: Frame, longitude: float, latitude: float, tolerance: float | None) -> str:
    """How a frame's middle is not the place that is known of a patch; nothing where it is.

    Args:
        frame: what a file says.
        longitude: of the patch's centre in degrees.
        latitude: of the patch's centre in degrees.
        tolerance: the most that the middle may be off to the east or north, in the frame's units; None allows any place
            within the frame.
    """
    try:
        x, y = transformer(frame.epsg).transform(longitude, latitude, direction="INVERSE")
    except ValueError as error:
        return f"lies in a coordinate system that is not known: {error}"
    epsg, west, south, east, north = frame
    off = max(abs(x - (west + east) / 2), abs(y - (south + north) / 2))
    if west <= x <= east and south <= y <= north and (tolerance is None or off <= tolerance):
        return ""
    middle = f"{(west + east) / 2:.10g}, {(south + north) / 2:.10g}"
    return f"lies at {middle} (EPSG:{epsg}) by its GeoTIFF tags, and the patch at {x:.10g}, {y:.10g}"


@functools.cache
def transformer(epsg: int) -> Transformer:
    """From a coordinate system to longitude and latitude; for one thread alone.

    Raises:
        ValueError: there is none of this number.
    """
    try:
        return Transformer.from_crs(epsg, 4326, always_xy=True)
    except ProjError as error:
        raise ValueError(f"EPSG:{epsg} is not known") from error
