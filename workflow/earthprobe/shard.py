"""shard: the pixels of one shard's patches, gathered from single files into one Parquet file."""

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.archive import Source, open_source
from earthprobe.errors import UserError
from earthprobe.files import check_ids, parquet, read_metadata, replacing, with_metadata
from earthprobe.layout import LICENCE
from earthprobe.pixel_sums import PixelSums
from earthprobe.progress import Progress
from earthprobe.tiff import SIZE, decode_band

log = logging.getLogger(__name__)

BANDS = ("VV", "VH")
ROW_GROUP = 256  # patches; 29 MB of pixels, so that a reader holds little and seeks rarely
READERS = 8  # threads: on a network disk opening a file is mostly waiting
PATCHES_A_JOB = 16
FEWEST_FOR_BAND_ORDER = 8
"""A single patch of open water can have VV below VH; the mean over this many patches has not."""

PIXELS = pa.list_(pa.field("element", pa.float32(), nullable=False), SIZE * SIZE)
"""That no pixel can be null spares Parquet a level for each: a fifth of the time of reading."""

SCHEMA = pa.schema([("patch_id", pa.string()), *(pa.field(band, PIXELS, nullable=False) for band in BANDS)])


def write_shard(patches: Path, s1: Sequence[Path], shard: int, output: Path) -> None:
    """Writes the pixels of the patches of one shard, ordered by ``patch_id``.

    Memory is bounded by a row group, whatever the shard's size. A patch that cannot be read is left out and
    named in the metadata (``rejected``). The metadata also holds, a band, the sums over all pixels and over
    those of the train split, which :mod:`earthprobe.shard_statistics` adds up over the shards.

    Args:
        patches: ``patches.parquet``.
        s1: the archive's folder of Sentinel-1 patches, or the lists of the members of its tar files.
        shard: the shard's number.
        output: columns ``patch_id`` and one fixed-size list<float32>[14400] a band, in dB, row by row.

    Raises:
        UserError: VV is darker than VH over the shard: the bands are swapped.
    """
    archive = read_metadata(patches)
    members: list[tuple[str, str, str]] = (
        pl.scan_parquet(patches)
        .filter(pl.col("shard") == shard)
        .select("patch_id", "split", "folder")
        .sort("patch_id")
        .collect()
        .rows()
    )
    source = open_source(s1, {folder for _, _, folder in members}, {f"{band}.tif" for band in BANDS})
    rejected: list[tuple[str, str, str]] = []
    sums = {part: {band: PixelSums() for band in BANDS} for part in ("all", "train")}
    progress = Progress(log, len(members))
    with replacing(output) as part:
        with (
            ThreadPoolExecutor(READERS) as pool,
            pq.ParquetWriter(
                part,
                SCHEMA,
                # Splitting a float's bytes makes speckle compressible. LZ4 keeps 0.78 of the raw size and zstd 0.75,
                # but takes a quarter longer to read and to write (docs/performance.md).
                compression="lz4",
                use_dictionary=False,
                use_byte_stream_split=[f"{band}.list.element" for band in BANDS],
                write_statistics=["patch_id"],
            ) as writer,
        ):
            groups = [members[start : start + ROW_GROUP] for start in range(0, len(members), ROW_GROUP)]
            blocks = [_Block(source, min(ROW_GROUP, len(members))) for _ in range(2)]
            for number, group in enumerate(groups):
                if number == 0:
                    blocks[0].begin(pool, group)
                if number + 1 < len(groups):  # the next group is read while this one is written
                    blocks[(number + 1) % 2].begin(pool, groups[number + 1])
                block = blocks[number % 2]
                for (patch_id, split, _), result in zip(group, block.results(), strict=True):
                    if isinstance(result, str):
                        log.warning("rejected %s: %s", patch_id, result)
                        rejected.append((patch_id, split, result))
                        continue
                    for band, here in zip(BANDS, result, strict=True):
                        for name in ("all", "train") if split == "train" else ("all",):
                            sums[name][band] += here
                writer.write_table(block.table())
                progress.add(len(group))
            _check_band_order(f"shard {shard:04d} of {archive['archive']}", sums["all"])
            metadata = {
                "archive": archive["archive"],
                "simulated": archive["simulated"],
                "licence": None if archive["simulated"] else LICENCE,
                "bands": BANDS,
                "shape": [SIZE, SIZE],
                "unit": "dB",
                "sums": {name: {b: asdict(s) for b, s in bands.items()} for name, bands in sums.items()},
                "rejected": rejected,
            }
            writer.add_key_value_metadata(with_metadata(SCHEMA, metadata).metadata)
        left_out = {patch_id for patch_id, _, _ in rejected}
        check_ids(part, [patch_id for patch_id, _, _ in members if patch_id not in left_out])


class _Block:
    """A row group's pixels, read by several threads into memory that the next but one row group uses again."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._planes = np.empty((len(BANDS), size, SIZE * SIZE), dtype=np.float32)
        self._group: Sequence[tuple[str, str, str]] = ()
        self._jobs: list[Future[list[list[PixelSums] | str]]] = []
        self._results: list[list[PixelSums] | str] = []

    def begin(self, pool: ThreadPoolExecutor, group: Sequence[tuple[str, str, str]]) -> None:
        """Starts to read patches; each job reads several, since a job costs as much as a patch."""
        self._group = group
        self._jobs = [pool.submit(self._read, start) for start in range(0, len(group), PATCHES_A_JOB)]

    def results(self) -> list[list[PixelSums] | str]:
        """Waits for the patches: the sums of each band, or the reason why the patch cannot be read."""
        self._results = [result for job in self._jobs for result in job.result()]
        return self._results

    def table(self) -> pa.Table:
        """The patches that could be read."""
        rows = [row for row, result in enumerate(self._results) if not isinstance(result, str)]
        columns = []
        for name, planes in zip(BANDS, self._planes, strict=True):
            kept = planes[: len(rows)] if len(rows) == len(self._group) else planes[rows]
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(kept.ravel()), type=SCHEMA.field(name).type))
        return pa.table([pa.array([self._group[row][0] for row in rows], pa.string()), *columns], schema=SCHEMA)

    def _read(self, start: int) -> list[list[PixelSums] | str]:
        results: list[list[PixelSums] | str] = []
        for row, (patch_id, _, folder) in enumerate(self._group[start : start + PATCHES_A_JOB], start):
            try:
                for planes, band in zip(self._planes, BANDS, strict=True):
                    content = self._source.read(folder, f"{band}.tif")
                    planes[row] = decode_band(content, f"{patch_id}_{band}.tif").ravel()
            except ValueError as error:
                results.append(str(error))
            else:
                results.append([PixelSums.of(planes[row]) for planes in self._planes])
        return results


def _check_band_order(where: str, sums: dict[str, PixelSums]) -> None:
    """Stops if VV is darker than VH: backscatter of land and water is the other way round.

    Raises:
        UserError: the bands are swapped.
    """
    vv, vh = sums["VV"], sums["VH"]
    if vv.count >= FEWEST_FOR_BAND_ORDER * SIZE * SIZE and vv.mean < vh.mean:
        raise UserError(
            f"{where}: VV is darker than VH ({vv.mean:.1f} against {vh.mean:.1f} dB), so the two bands are"
            " swapped: check how the archive was made"
        )


def read_shard(
    path: Path, bands: Sequence[str], batch_size: int
) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
    """Yields batches of a shard's patches: their ids, and pixels in dB of shape (batch, bands, 120, 120)."""
    with parquet(path) as file:
        for batch in file.iter_batches(batch_size=batch_size, columns=["patch_id", *bands]):
            planes = [batch[band].flatten().to_numpy().reshape(-1, SIZE, SIZE) for band in bands]
            yield batch["patch_id"].to_pylist(), np.stack(planes, axis=1)


def read_patches(path: Path, wanted: Collection[str]) -> dict[str, npt.NDArray[np.float32]]:
    """Reads single patches of a shard: only the row groups that hold one of them.

    Returns:
        patch_id -> pixels in dB, shape (bands, 120, 120), for those of ``wanted`` that the shard holds.
    """
    found: dict[str, npt.NDArray[np.float32]] = {}
    with parquet(path) as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["patch_id"])["patch_id"].to_pylist()
            rows = [row for row, patch_id in enumerate(ids) if patch_id in wanted]
            if rows:
                table = file.read_row_group(group, columns=list(BANDS)).take(rows)
                planes = [table[b].combine_chunks().flatten().to_numpy().reshape(-1, SIZE, SIZE) for b in BANDS]
                found |= dict(zip((ids[row] for row in rows), np.stack(planes, axis=1), strict=True))
    return found
