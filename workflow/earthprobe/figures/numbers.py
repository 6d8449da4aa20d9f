"""Reading the numbers of a figure."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

TEXT = ("name", "other_name", "patch_id", "features", "probe", "row", "other", "data", "weights", "tile", "drawn_as")
"""Columns of names, which stay text where a class or a patch is called 7."""


def read_numbers(path: Path, types: Mapping[str, type[pl.DataType]] | None = None) -> pl.DataFrame:
    """A CSV file of a figure or a table.

    Args:
        path: the file.
        types: of columns beside :data:`TEXT`; the others have that of their values.
    """
    overrides: dict[str, type[pl.DataType]] = {**dict.fromkeys(TEXT, pl.String), **(types or {})}
    found = pl.read_csv(path, n_rows=0).columns
    known = {name: kind for name, kind in overrides.items() if name in found}
    return pl.read_csv(path, infer_schema_length=None, schema_overrides=known)
