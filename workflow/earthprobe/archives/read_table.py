"""Reading the table of an archive that a user brings: CSV as spreadsheets save it, or Parquet."""

import codecs
import csv
import io
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from earthprobe.errors import UserError

if TYPE_CHECKING:
    import polars as pl

LONGEST_LINE = 2**20
"""Bytes in which the names of all columns must fit."""


def columns_of(path: Path) -> list[str]:
    """The names of a CSV file's columns; only its beginning is read.

    Raises:
        UserError: it is no text, or has no columns.
    """
    with path.open("rb") as file:
        start = file.read(LONGEST_LINE)
    lines = _decoded(path, start[: start.rfind(b"\n") + 1] or start, final=False).splitlines()
    if not lines or not lines[0].strip():
        raise UserError(f"{path} is empty: its first line must name the columns")
    return [name.strip() for name in next(csv.reader(lines[:1], delimiter=_separator(lines[0])))]


def read_any(path: Path) -> "pl.DataFrame":
    """The table, every column of a CSV file as text without spaces around it.

    Raises:
        UserError: it cannot be read, or a column is there twice.
    """
    import polars as pl

    if path.suffix == ".parquet":
        try:
            return pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    names = columns_of(path)
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path}: the column {twice[0]!r} is there twice")
    text = _decoded(path, path.read_bytes(), final=True)
    rows = []
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text.splitlines()[0]))
        for row in islice(lines, 1, None):
            if len(row) > len(names) and any(row[len(names) :]):
                raise UserError(f"{path}, line {lines.line_num}: {len(row)} columns, not {len(names)} as in the first")
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row[: len(names)]] + [""] * (len(names) - len(row)))
    except csv.Error as error:
        raise UserError(f"{path}, line {lines.line_num}: {error}") from error
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _decoded(path: Path, content: bytes, *, final: bool) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, or UTF-16."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return codecs.getincrementaldecoder(encoding)().decode(content, final)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8: save it as CSV (UTF-8)") from error


def _separator(line: str) -> str:
    """What separates columns: a comma, a semicolon or a tab, whichever the first line has most of."""
    outside = re.sub(r'"[^"]*"', "", line)
    return max(",;\t", key=outside.count)
