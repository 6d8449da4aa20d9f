"""Where, when and by what a patch of BigEarthNet was seen, by its name: tile, column and row, time and satellite."""

import datetime
import functools
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from pyproj import Transformer

ZONE, BAND = r"0[1-9]|[1-5]\d|60", "[C-HJ-NP-X]"
"""What there is of them in MGRS."""

PATCH = re.compile(rf"_T?(?P<zone>{ZONE})(?P<band>{BAND})(?P<column>[A-Z])(?P<row>[A-Z])_(?P<h>\d+)_(?P<v>\d+)$")

SIDE = 1200
"""Metres along a side of a patch."""

COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
"""Letters of the 100 km squares from west to east, by the zone's number modulo 3."""

ROWS = "ABCDEFGHJKLMNPQRSTUV"
"""Letters from south to north in odd zones, over and over; even zones begin with the sixth."""

BANDS = "CDEFGHJKLMNPQRSTUVWX"
"""Letters of the bands of 8 degrees of latitude, from 80 degrees south."""


TIME = re.compile(r"_(\d{4})(\d\d)(\d\d)T\d{6}")


def date_of(patch_id: str) -> datetime.date | None:
    """The day on which a patch was seen; None where its name holds none."""
    match = TIME.search(patch_id)
    try:
        return datetime.date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def scene_of(patch_id: str) -> str | None:
    """The Sentinel-1 scene of a patch, within its tile; None where its name holds none."""
    return patch_id[: match.start("h") - 1] if (match := PATCH.search(patch_id)) else None


def named(patch_ids: Sequence[str]) -> pl.DataFrame:
    """What the names of patches say, null where they do not.

    Returns:
        ``tile``, ``column`` and ``row`` within it, ``satellite`` (such as S1A), ``time`` of acquisition in UTC, and the
        direction of the ``orbit`` of Sentinel-1: over Europe it descends from 4 to 6 h UTC and ascends from 15 to 18 h.
    """
    names = pl.DataFrame({"name": pl.Series(list(patch_ids), dtype=pl.String)}).select(
        pl.col("name")
        .str.extract_groups(rf"_T?(?<tile>(?:{ZONE}){BAND}[A-Z]{{2}})_(?<column>\d+)_(?<row>\d+)$")
        .alias("place"),
        pl.col("name").str.extract(r"^(S[12][ABC])_").alias("satellite"),
        pl.col("name")
        .str.extract(r"_(\d{8}T\d{6})")
        .str.to_datetime("%Y%m%dT%H%M%S", time_unit="ms", strict=False)
        .alias("time"),
    )
    hour, radar = pl.col("time").dt.hour(), pl.col("satellite").str.starts_with("S1")
    return names.unnest("place").select(
        "tile",
        pl.col("column").cast(pl.Int16, strict=False),
        pl.col("row").cast(pl.Int16, strict=False),
        "satellite",
        "time",
        pl.when(radar & hour.is_between(4, 6))
        .then(pl.lit("descending"))
        .when(radar & hour.is_between(15, 18))
        .then(pl.lit("ascending"))
        .alias("orbit"),
    )


def corners(patch_ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """The western and northern edge of patches in metres, in UTM of their tile's zone.

    The grid of patches begins at the tile's 100 km square of MGRS, widened to whole pixels of 60 m. The formula equals
    the coordinates in the JSON files of BigEarthNet v1.

    Returns:
        Easting and northing, shape (patches, 2); NaN where a name holds no place.
    """
    result = np.full((len(patch_ids), 2), np.nan)
    for i, patch_id in enumerate(patch_ids):
        if match := PATCH.search(patch_id):
            west, north = _square(*match.group("zone", "band", "column", "row"))
            result[i] = (
                west // 60 * 60 + SIDE * int(match["h"]),
                -(-north // 60) * 60 - SIDE * int(match["v"]),
            )
    return result


def centres(patch_ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """The centres of patches.

    Returns:
        Longitude and latitude in degrees (WGS 84), shape (patches, 2); NaN where a name holds no place.
    """
    return _in_degrees(patch_ids, corners(patch_ids) + np.array([SIDE / 2, -SIDE / 2]))


def footprints(patch_ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """The corners of patches, counter-clockwise from the south-west.

    Returns:
        Longitude and latitude in degrees (WGS 84), shape (patches, 4, 2); NaN where a name holds no place.
    """
    north_west = corners(patch_ids)
    steps = np.array([[0, -SIDE], [SIDE, -SIDE], [SIDE, 0], [0, 0]], dtype=np.float64)
    return np.stack([_in_degrees(patch_ids, north_west + step) for step in steps], axis=1)


def _in_degrees(patch_ids: Sequence[str], metres: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Longitude and latitude of places in the UTM zones of patches."""
    places = metres.copy()
    matches = (PATCH.search(patch_id) for patch_id in patch_ids)
    zones = np.array([_epsg(match["zone"], match["band"]) if match else 0 for match in matches])
    for epsg in np.unique(zones[zones > 0]):
        rows = zones == epsg
        places[rows] = np.column_stack(_degrees(int(epsg)).transform(*places[rows].T))
    return places


def _epsg(zone: str, band: str) -> int:
    return (32600 if band >= "N" else 32700) + int(zone)


@functools.cache
def _degrees(epsg: int) -> Transformer:
    return Transformer.from_crs(epsg, 4326, always_xy=True)


@functools.cache
def _square(zone: str, band: str, column: str, row: str) -> tuple[float, float]:
    """The western and northern edge of a 100 km square; NaN of one that there is not."""
    if column not in COLUMNS[int(zone) % 3] or row not in ROWS:
        return np.nan, np.nan
    west = 100_000.0 * (1 + COLUMNS[int(zone) % 3].index(column))
    south = 100_000.0 * ((ROWS.index(row) - (5 if int(zone) % 2 == 0 else 0)) % 20)
    # Rows repeat each 2,000 km, and the band says which of them it is.
    latitude = 8 * BANDS.index(band) - 80
    _, lowest = _degrees(_epsg(zone, band)).transform(6 * int(zone) - 183, latitude, direction="INVERSE")
    while south + 100_000 <= lowest:
        south += 2_000_000
    return west, south + 100_000
