"""Merge the embeddings of all shards into one file, ordered by patch."""

import bisect
import logging
import resource
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.errors import UserError
from earthprobe.progress import Progress
from earthprobe.provenance import VARIES, gathered
from earthprobe.storage.files import read_csv, replacing
from earthprobe.storage.geoparquet import Places
from earthprobe.storage.parquet import check_ids, parquet, read_metadata, stored_with

log = logging.getLogger(__name__)

ROW_GROUP = 8192  # patches; 25 MB of 768 floats
ROWS_HELD = 32768  # patches of all shards together that wait in memory


def run(*, shards: Sequence[Path], patches: Path, rejected: Sequence[Path], output: Path) -> None:
    """Merges sorted shards into one sorted file; memory does not grow with the archive.

    Args:
        shards: the embeddings of each shard, ordered by ``patch_id``.
        patches: ``patches.parquet``, which says which patches there must be.
        rejected: for each sensor, ``rejected/<sensor>.csv``, which says which of them there cannot be.
        output: the columns and metadata of the shards, every commit and machine among them, and the footprints of the
            patches.

    Raises:
        UserError: shards were made differently, or a patch is missing, surplus or in two shards.
    """
    said = _check_alike(shards)
    expected = _expected_ids(patches, rejected)
    _allow_open_files(len(shards))
    progress = Progress(log, len(expected))
    with ExitStack() as stack:
        files = [stack.enter_context(parquet(path)) for path in shards]
        schema = stored_with(files[0].schema_arrow, {**said[0], **gathered(said)})
        places = Places(patches)
        held = max(16, ROWS_HELD // len(files))
        cursors = [_Cursor(file.iter_batches(batch_size=held)) for file in files]
        part = stack.enter_context(replacing(output))
        with pq.ParquetWriter(part, places.schema(schema), compression="none", use_dictionary=False) as writer:
            for start in range(0, len(expected), ROW_GROUP):
                block = expected[start : start + ROW_GROUP]
                rows = pa.concat_tables(
                    table for cursor in cursors for table in cursor.take_until(block[-1], schema)
                ).sort_by("patch_id")
                _check_block(block, rows["patch_id"].to_pylist())
                writer.write_table(places.add(rows))
                progress.add(len(block))
        left = [patch_id for cursor in cursors for patch_id in cursor.rest()]
        if left:
            raise UserError(f"the shards hold {left[0]} ({len(left)} surplus), which the archive does not: delete them")
        check_ids(part, expected)


class _Cursor:
    """Reads a sorted file in batches and hands out rows up to a given id."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._current: pa.RecordBatch | None = None
        self._ids: list[str] = []

    def take_until(self, last: str, schema: pa.Schema) -> list[pa.Table]:
        """Rows not handed out yet whose id is at most ``last``."""
        taken = [schema.empty_table()]
        while self._fill():
            assert self._current is not None  # noqa: S101
            count = bisect.bisect_right(self._ids, last)
            taken.append(pa.Table.from_batches([self._current.slice(0, count)], schema=schema))
            self._current, self._ids = self._current.slice(count), self._ids[count:]
            if self._ids:
                break
        return taken

    def rest(self) -> Iterator[str]:
        while self._fill():
            yield from self._ids
            self._ids = []

    def _fill(self) -> bool:
        while not self._ids:
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._current, self._ids = batch, batch["patch_id"].to_pylist()
        return True


def _check_alike(shards: Sequence[Path]) -> list[dict[str, Any]]:
    """The metadata of the shards, which may differ in the commit and the machine that made them."""
    said = [read_metadata(path) for path in shards]
    for path, other in zip(shards, said, strict=True):
        for key in sorted((said[0].keys() | other.keys()) - set(VARIES)):
            if said[0].get(key) != other.get(key):
                raise UserError(
                    f"{path} and {shards[0]} differ in {key} ({other.get(key)!r}, {said[0].get(key)!r}): delete the"
                    " older one and run again; where machines differ, set `precision` in the config"
                )
    return said


def _expected_ids(patches: Path, rejected: Sequence[Path]) -> list[str]:
    left_out = {row["patch_id"] for path in rejected for row in read_csv(path)}
    ids = pl.scan_parquet(patches).select("patch_id").sort("patch_id").collect()["patch_id"]
    return [patch_id for patch_id in ids if patch_id not in left_out]


def _check_block(expected: Sequence[str], ids: Sequence[str]) -> None:
    if list(expected) == list(ids):
        return
    missing, surplus = sorted(set(expected) - set(ids)), sorted(set(ids) - set(expected))
    if missing:
        raise UserError(f"no shard holds {missing[0]}: delete the shard that should and run again")
    if surplus:
        raise UserError(f"the shards hold {surplus[0]}, which the archive does not: delete that shard and run again")
    raise UserError(f"a patch between {expected[0]} and {expected[-1]} is in two shards: delete both and run again")


def _allow_open_files(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + 256
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
