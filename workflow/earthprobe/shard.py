"""shard: the pixels of one shard's patches, gathered from single files into one Parquet file."""

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.errors import UserError
from earthprobe.files import check_ids, parquet, read_metadata, replacing, with_metadata
from earthprobe.pixel_sums import PixelSums
from earthprobe.progress import Progress
from earthprobe.tiff import SIZE, read_band

log = logging.getLogger(__name__)

BANDS = ("VV", "VH")
ROW_GROUP = 256  # patches; 29 MB of pixels, so that a reader holds little and seeks rarely
READERS = 8  # threads
FEWEST_FOR_BAND_ORDER = 8
"""A single patch of open water can have VV below VH; the mean over this many patches has not."""

SCHEMA = pa.schema([("patch_id", pa.string()), *((band, pa.list_(pa.float32(), SIZE * SIZE)) for band in BANDS)])


def write_shard(patches: Path, s1_folder: Path, shard: int, output: Path) -> None:
    """Writes the pixels of the patches of one shard, ordered by ``patch_id``.

    Memory is bounded by a row group, whatever the shard's size. A patch that cannot be read is left out and
    named in the metadata (``rejected``). The metadata also holds, a band, the sums over all pixels and over
    those of the train split, which :mod:`earthprobe.shard_statistics` adds up over the shards.

    Args:
        patches: ``patches.parquet``.
        s1_folder: the archive's folder of Sentinel-1 patches, to which the patches' folders are relative.
        shard: the shard's number.
        output: columns ``patch_id`` and one fixed-size list<float32>[14400] a band, in dB, row by row.

    Raises:
        UserError: VV is darker than VH over the shard: the bands are swapped.
    """
    source = read_metadata(patches)
    members: list[tuple[str, str, str]] = (
        pl.scan_parquet(patches)
        .filter(pl.col("shard") == shard)
        .select("patch_id", "split", "folder")
        .sort("patch_id")
        .collect()
        .rows()
    )
    rejected: list[tuple[str, str, str]] = []
    sums = {part: {band: PixelSums() for band in BANDS} for part in ("all", "train")}

    def read(patch: tuple[str, str, str]) -> npt.NDArray[np.float32] | str:
        patch_id, _, folder = patch
        try:
            return np.stack([read_band(s1_folder / folder / f"{patch_id}_{band}.tif") for band in BANDS])
        except ValueError as error:
            return str(error)

    progress = Progress(log, len(members))
    with replacing(output) as part:
        with (
            ThreadPoolExecutor(READERS) as pool,
            pq.ParquetWriter(
                part,
                SCHEMA,
                compression="zstd",
                use_dictionary=False,
                # Splitting a float's bytes makes speckle compressible: 0.75 of the raw size, against 0.85.
                use_byte_stream_split=[f"{band}.list.element" for band in BANDS],
            ) as writer,
        ):
            for start in range(0, len(members), ROW_GROUP):
                group = members[start : start + ROW_GROUP]
                ids, pixels = [], []
                for (patch_id, split, _), result in zip(group, pool.map(read, group), strict=True):
                    if isinstance(result, str):
                        log.warning("rejected %s: %s", patch_id, result)
                        rejected.append((patch_id, split, result))
                        continue
                    ids.append(patch_id)
                    pixels.append(result)
                    for band, values in zip(BANDS, result, strict=True):
                        sums["all"][band].add(values)
                        if split == "train":
                            sums["train"][band].add(values)
                writer.write_table(_table(ids, pixels))
                progress.add(len(group))
            _check_band_order(f"shard {shard:04d} of {source['archive']}", sums["all"])
            metadata = {
                "archive": source["archive"],
                "simulated": source["simulated"],
                "bands": BANDS,
                "shape": [SIZE, SIZE],
                "unit": "dB",
                "sums": {name: {b: asdict(s) for b, s in bands.items()} for name, bands in sums.items()},
                "rejected": rejected,
            }
            writer.add_key_value_metadata(with_metadata(SCHEMA, metadata).metadata)
        left_out = {patch_id for patch_id, _, _ in rejected}
        check_ids(part, [patch_id for patch_id, _, _ in members if patch_id not in left_out])


def _table(ids: Sequence[str], pixels: Sequence[npt.NDArray[np.float32]]) -> pa.Table:
    columns = [
        pa.FixedSizeListArray.from_arrays(
            pa.array(np.concatenate([patch[band].ravel() for patch in pixels]) if pixels else [], pa.float32()),
            SIZE * SIZE,
        )
        for band in range(len(BANDS))
    ]
    return pa.table([pa.array(ids, pa.string()), *columns], schema=SCHEMA)


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
