"""Anybody's archive: what a table says of its patches, row by row."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from earthprobe.archives.check_table import check_columns
from earthprobe.archives.countries import countries
from earthprobe.archives.grid import centres, date_of
from earthprobe.archives.read_table import read_any
from earthprobe.errors import UserError
from earthprobe.storage.band_files import OWN, TAKEN
from earthprobe.storage.geotiff import Frame, centre
from earthprobe.storage.patches import FILES, NAMES, TABLE

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What tables call splits, and what they are called here."""

KNOWN = ("split", "group", "date", "longitude", "latitude", "country")
"""The columns that a table may have."""


def read(archive: Mapping[str, Any]) -> pl.DataFrame:
    """The patches that a table lists.

    Args:
        archive: ``archive`` of the configuration, with all defaults.

    Returns:
        ``patch_id`` and the columns of :data:`KNOWN`, null where nothing is known, and all columns of the table under
        their own names; those that an index has itself are called ``table_split`` and so on.

    Raises:
        UserError: it cannot be read, a row has no id, two have one, or a value is none.
    """
    path, columns = Path(archive["table"]), archive["columns"]
    table = read_any(path)
    check_columns(archive, table.columns)
    if table.is_empty():
        raise UserError(f"{path} lists no patch")
    ids = table[columns["id"]].cast(pl.String)
    _check_ids(path, ids)
    found: dict[str, pl.Series] = {"patch_id": ids}
    for name in KNOWN:
        column = table[columns[name]] if columns[name] in table.columns else pl.Series([None] * len(ids))
        found[name] = _READERS[name](path, columns[name], column)
    if found["date"].null_count() == len(ids):  # as the names of BigEarthNet have them
        found["date"] = pl.Series([date_of(patch_id) for patch_id in ids], dtype=pl.Date)
    rest = [pl.col(name).alias(f"{OWN}{name}" if name in TAKEN else name) for name in table.columns if name != "id"]
    return pl.DataFrame({**{n: c.rename(n) for n, c in found.items()}, "id": ids.rename("id")}).hstack(
        table.select(rest)
    )


class Located(NamedTuple):
    """Patches with their places.

    Attributes:
        table: with longitude, latitude and country, where they are known.
        places_from: what says the places, see :mod:`earthprobe.storage.patches`; None where nothing does.
        frames: of each patch the extent of its file, where that says the places.
    """

    table: pl.DataFrame
    places_from: str | None
    frames: Mapping[str, Frame]


def located(table: pl.DataFrame, read_frames: Callable[[], Sequence[Frame | None]]) -> Located:
    """Finds the places of patches: the table's own, those in names as BigEarthNet has them, or the files'.

    Args:
        table: of :func:`read`.
        read_frames: reads the extent of each patch's file; called only where nothing else says a place.

    Raises:
        UserError: a file is in a coordinate system that is not known.
    """
    ids = table["patch_id"].to_list()
    frames: dict[str, Frame] = {}
    if table["longitude"].null_count() < table.height:
        places_from: str | None = TABLE
        places = table.select("longitude", "latitude").fill_null(float("nan")).to_numpy()
    else:
        places_from, places = NAMES, centres(ids)
        if np.isnan(places).all():
            frames = {name: frame for name, frame in zip(ids, read_frames(), strict=True) if frame}
            places_from = FILES if frames else None
            try:
                places = np.array([centre(frames[name]) if name in frames else (np.nan, np.nan) for name in ids])
            except ValueError as error:
                raise UserError(f"the GeoTIFF tags of a patch say no place: {error}") from error
        table = table.with_columns(
            longitude=pl.Series(places[:, 0], nan_to_null=True), latitude=pl.Series(places[:, 1], nan_to_null=True)
        )
    if table["country"].null_count() == table.height:
        table = table.with_columns(country=pl.Series(countries(places), dtype=pl.String))
    return Located(table, places_from, frames)


def _check_ids(path: Path, ids: pl.Series) -> None:
    """Refuses rows that cannot be told apart."""
    empty = ids.is_null() | (ids.str.strip_chars() == "")
    if empty.any():
        raise UserError(f"{path}: row {empty.arg_true()[0] + 1} has no id")
    if ids.n_unique() < len(ids):
        name = ids.filter(ids.is_duplicated())[0]
        rows = (ids == name).arg_true().to_list()
        raise UserError(f"{path}: rows {rows[0] + 1} and {rows[1] + 1} have one id, {name}: a patch is one row")


def _text(path: Path, name: str, column: pl.Series) -> pl.Series:
    text = column.cast(pl.String).str.strip_chars()
    return text.set((text == "").fill_null(False), None)


def _splits(path: Path, name: str, column: pl.Series) -> pl.Series:
    """Names of splits; of a patch in none, null."""
    text = _text(path, name, column)
    unknown = text.drop_nulls().filter(~text.drop_nulls().str.to_lowercase().is_in(list(SPLIT_NAMES)))
    if len(unknown):
        raise UserError(f"{path}: {name}: {unknown[0]!r} is not a split: expected train, val, test or nothing")
    return text.str.to_lowercase().replace(SPLIT_NAMES)


def _dates(path: Path, name: str, column: pl.Series) -> pl.Series:
    """Days; of a text its first ten letters, such as 2017-06-13."""
    if column.dtype in (pl.Date, pl.Datetime):
        return column.cast(pl.Date)
    days = []
    for row, text in enumerate(_text(path, name, column).to_list(), start=1):
        try:
            days.append(datetime.date.fromisoformat(text[:10]) if text else None)
        except ValueError:
            raise UserError(f"{path}: row {row}: {name}: {text!r} is no date such as 2017-06-13") from None
    return pl.Series(days, dtype=pl.Date)


def _degrees(most: float) -> Any:
    def read(path: Path, name: str, column: pl.Series) -> pl.Series:
        text = _text(path, name, column)
        values = text.cast(pl.Float64, strict=False)
        bad = text.is_not_null() & ~(values.abs() <= most).fill_null(False)
        if bad.any():
            row = bad.arg_true()[0]
            raise UserError(f"{path}: row {row + 1}: {name}: {text[row]!r} is not in degrees, from -{most} to {most}")
        return values

    return read


_READERS = {
    "split": _splits,
    "group": _text,
    "date": _dates,
    "longitude": _degrees(180),
    "latitude": _degrees(90),
    "country": _text,
}
