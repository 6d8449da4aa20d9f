"""Writing files so that nothing half-written ever looks finished, and reading what they say of themselves."""

import csv
import errno
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe import __version__
from earthprobe.errors import UserError

METADATA_KEY = b"earthprobe"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path of this process beside ``target`` and renames it to ``target`` on success.

    The name carries host and process, so that two jobs never write into one file. Temporary files that an
    earlier, killed job left for the same target are removed first; if that job is in fact still alive, it
    fails in the end instead of overwriting the newer result. So this is entered before the work, not after.

    Raises:
        UserError: another job has taken over in the meantime, or the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{target.name}.*.part"):
        stale.unlink(missing_ok=True)
    part = target.parent / f".{target.name}.{socket.gethostname()}-{os.getpid()}.part"
    part.touch(exist_ok=False)
    mine = part.stat().st_ino
    try:
        yield part
        try:
            taken_over = part.stat().st_ino != mine
        except FileNotFoundError:
            taken_over = True
        if taken_over:
            raise UserError(f"{target}: another job has begun to write it, so this one stops")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{target}: {os.strerror(error.errno)}: make room and run again") from error
        raise


def write_text(target: Path, text: str) -> None:
    """Writes a text file as a whole or not at all."""
    with replacing(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(target: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file with a header."""
    with replacing(target) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def with_metadata(schema: pa.Schema, metadata: Mapping[str, Any]) -> pa.Schema:
    """The schema with ``metadata`` and the package's version as one JSON value under the key ``earthprobe``."""
    text = json.dumps({**metadata, "earthprobe_version": __version__}, sort_keys=True)
    return schema.with_metadata({METADATA_KEY: text.encode()})


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
    return pl.read_parquet(path, columns=list(columns))


def check_ids(path: Path, expected: Sequence[str]) -> None:
    """Reads the ids of a Parquet file that was just written and compares them with what it should hold.

    Raises:
        UserError: a row is missing, surplus or out of order.
    """
    with parquet(path) as file:
        ids = file.read(columns=["patch_id"])["patch_id"].to_pylist()
    if ids != list(expected):
        raise UserError(
            f"{path} holds {len(ids)} patches where {len(expected)} were written, or other ones:"
            " the disk may be faulty; run again"
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
