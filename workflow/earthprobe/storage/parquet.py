"""Parquet files and what they say of themselves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe import __version__
from earthprobe.errors import UserError
from earthprobe.provenance import commit_text

METADATA_KEY = b"earthprobe"


STORED = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.uint8()}
"""What the figures of a vector can be stored as; Parquet has no bytes, but numbers from 0 to 255 compress to one."""


def embedding_schema(dimensions: int, store: str = "float32") -> pa.Schema:
    """The columns of a feature set. That no value can be null makes it faster to read."""
    vector = pa.list_(pa.field("element", STORED[store], nullable=False), dimensions)
    return pa.schema([("patch_id", pa.string()), pa.field("embedding", vector, nullable=False)])


def with_metadata(schema: pa.Schema, metadata: Mapping[str, Any]) -> pa.Schema:
    """The schema with ``metadata``, the package's version and commit as one JSON value under the key ``earthprobe``."""
    made_by = {"earthprobe_version": __version__, "earthprobe_commit": commit_text()}
    return stored_with(schema, {**metadata, **made_by})


def stored_with(schema: pa.Schema, metadata: Mapping[str, Any]) -> pa.Schema:
    """The schema with ``metadata`` alone, which say already what made the values."""
    return schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})


def read_metadata(path: Path) -> dict[str, Any]:
    """What :func:`with_metadata` stored in a Parquet file.

    Raises:
        UserError: the file is no Parquet file of earthprobe, or is cut short.
    """
    with parquet(path) as file:
        stored = (file.metadata.metadata or {}).get(METADATA_KEY)
    if stored is None:
        raise UserError(f"{path} was not written by earthprobe: delete it and run again")
    value: dict[str, Any] = json.loads(stored)
    return value


@contextmanager
def parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Opens a Parquet file of the workflow; a truncated or foreign one is a :class:`UserError`."""
    try:
        # Buffering ahead would read a whole file to hand out its first batch.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        if getattr(error, "filename", None):  # not of Arrow: of a file that is written meanwhile
            raise
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be read ({reason}): delete it and run again") from error


def read_table(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Reads columns of a Parquet file that users bring.

    Raises:
        UserError: it cannot be read, or lacks one of them.
    """
    try:
        schema = pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if absent := [column for column in columns if column not in schema]:
        raise UserError(f"{path} has no column {absent[0]}: it has {', '.join(schema)}")
    try:
        return pl.read_parquet(path, columns=list(columns))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def check_ids(path: Path, expected: Sequence[str]) -> None:
    """Reads the ids of a Parquet file that was just written and compares them with what it should hold.

    Raises:
        UserError: a row is missing, surplus or out of order.
    """
    with parquet(path) as file:
        ids = file.read(columns=["patch_id"])["patch_id"].to_pylist()
    if ids != list(expected):
        raise UserError(
            f"{path} holds {len(ids)} patches where {len(expected)} were written, or different ones:"
            " the disk may be faulty; run again"
        )
