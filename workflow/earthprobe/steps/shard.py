"""Gather the pixels of one shard's patches from single files into one Parquet file."""

import logging
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from earthprobe.archives.interface import absent
from earthprobe.errors import UserError
from earthprobe.progress import Progress
from earthprobe.sensors import DECIBELS, LIMITS, REFLECTANCE, Band
from earthprobe.storage.band_files import BandFile, band_files_of, columns_in
from earthprobe.storage.files import replacing
from earthprobe.storage.parquet import check_ids, read_metadata, with_metadata
from earthprobe.storage.patches import NAMES
from earthprobe.storage.pixel_sums import PixelSums
from earthprobe.storage.row_group import Patch, RowGroup, schema_of
from earthprobe.storage.source import open_source

log = logging.getLogger(__name__)

ROW_GROUP = 256  # patches; 29 MB of pixels of Sentinel-1, so that a reader holds little and seeks rarely
READERS = 8  # threads: on a network disk opening a file is mostly waiting
NEAR = 1.0
"""Metres within which a file's middle is the one that a name says."""
FEWEST_FOR_BAND_ORDER = 8
"""A single patch of open water can have VV below VH; the mean over this many patches has not."""


def run(
    *,
    patches: Path,
    sensor: str,
    source: Sequence[Path],
    shard: int,
    licence: str | None = None,
    output: Path,
) -> None:
    """Writes what a sensor saw of the patches of one shard, ordered by ``patch_id``.

    Memory is that of a row group, and of a list of the patches' files where they are packed. A patch that cannot be
    read is left out and named in the metadata (``rejected``); one with values that no sensor gives is kept, and named
    there, too (``odd``). The metadata also holds, a band, the sums over all pixels, over those of the train split and
    over those of patches that are not odd, which :mod:`earthprobe.steps.shard_statistics` adds up over the shards.

    Args:
        patches: ``patches.parquet``.
        sensor: which; ``s1`` and ``s2`` are Sentinel-1 and Sentinel-2.
        source: the archive's folder of this sensor's patches, or the lists of the members of its tar files.
        shard: the shard's number.
        licence: of the pixels, for the metadata.
        output: a row a patch with a list of pixels a band, values unchanged.

    Raises:
        UserError: VV is darker than VH over the shard: the bands are swapped.
    """
    archive = read_metadata(patches)
    band_files = band_files_of(archive, sensor)
    members = _members(patches, band_files, shard)
    bands = {name: file.band for name, file in band_files.items()}
    schema = schema_of(bands)
    files = open_source(source, {path for member in members for path in member.paths})
    rejected: list[tuple[str, str, str]] = []
    odd: list[tuple[str, str]] = []
    sums = {part: {band: PixelSums() for band in bands} for part in ("all", "train", "usual")}
    progress = Progress(log, len(members))
    with replacing(output) as part:
        with (
            ThreadPoolExecutor(READERS) as pool,
            pq.ParquetWriter(
                part,
                schema,
                # Splitting a number's bytes makes speckle compressible. LZ4 keeps 0.78 of the raw size and zstd 0.75
                # (of Sentinel-2 0.75 and 0.67), but takes a quarter longer to read and to write (docs/performance.md).
                compression="lz4",
                use_dictionary=False,
                use_byte_stream_split=[f"{band}.list.element" for band in bands],
                write_statistics=["patch_id"],
            ) as writer,
        ):
            groups = [members[start : start + ROW_GROUP] for start in range(0, len(members), ROW_GROUP)]
            # Where there is one sensor alone, a patch without its files is not whole.
            may_lack = sensor != "s1" and any(band["sensor"] != sensor for band in archive["bands"].values())
            fit, size = archive.get("fit"), min(ROW_GROUP, len(members))
            lacks = absent(sensor) if may_lack else ""
            off = NEAR if archive.get("places_from") == NAMES else None
            blocks = [RowGroup(files, lacks, band_files, fit, off, size) for _ in range(2)]
            for number, group in enumerate(groups):
                if number == 0:
                    blocks[0].begin(pool, group)
                if number + 1 < len(groups):  # the next group is read while this one is written
                    blocks[(number + 1) % 2].begin(pool, groups[number + 1])
                block = blocks[number % 2]
                for (patch_id, split, *_), result in zip(group, block.results(), strict=True):
                    if isinstance(result, str):
                        log.warning("rejected %s: %s", patch_id, result)
                        rejected.append((patch_id, split, result))
                        continue
                    if strange := oddity(bands, result):
                        log.warning("%s %s", patch_id, strange)
                        odd.append((patch_id, strange))
                    belongs = {"all": True, "train": split == "train", "usual": not strange}
                    for band, here in zip(bands, result, strict=True):
                        for name in filter(belongs.get, belongs):
                            sums[name][band] += here
                writer.write_table(block.table())
                progress.add(len(group))
            _check_band_order(f"shard {shard:04d} of {archive['archive']}", bands, sums["usual"])
            metadata = {
                "archive": archive["archive"],
                "simulated": archive["simulated"],
                "licence": licence,
                "sensor": sensor,
                "bands": list(bands),
                "shape": {name: [band.size] * 2 for name, band in bands.items()},
                "units": {name: band.unit for name, band in bands.items()},
                "wavelengths": {name: band.wavelength for name, band in bands.items()},
                "sums": {name: {b: asdict(s) for b, s in bands.items()} for name, bands in sums.items()},
                "rejected": rejected,
                "odd": odd,
            }
            writer.add_key_value_metadata(with_metadata(schema, metadata).metadata)
        left_out = {patch_id for patch_id, _, _ in rejected}
        check_ids(part, [member.patch_id for member in members if member.patch_id not in left_out])


def _members(patches: Path, files: Mapping[str, BandFile], shard: int) -> list[Patch]:
    paths = [file.path for file in files.values()]
    columns = list(dict.fromkeys(["patch_id", "split", "longitude", "latitude", *columns_in(paths)]))
    table = pl.scan_parquet(patches).filter(pl.col("shard") == shard).sort("patch_id").select(columns).collect()
    found = []
    for row in table.iter_rows(named=True):
        place = None if row["longitude"] is None or row["latitude"] is None else (row["longitude"], row["latitude"])
        found.append(Patch(row["patch_id"], row["split"], place, [path.format_map(row) for path in paths]))
    return found


def oddity(bands: Mapping[str, Band], sums: Sequence[PixelSums]) -> str:
    """What is strange about a patch's pixels, though they can be read; nothing where they are as any others.

    Args:
        bands: what is known of each.
        sums: of each band.
    """
    for (name, band), here in zip(bands.items(), sums, strict=True):
        low, high = LIMITS.get(band.unit, (-math.inf, math.inf))
        if here.largest > high or here.smallest < low:
            return f"has {name} from {here.smallest:g} to {here.largest:g}, which no sensor gives"
        if band.unit == REFLECTANCE and here.largest == 0:
            return f"has only zeros in {name}"
    return ""


def _check_band_order(where: str, bands: Mapping[str, Band], sums: Mapping[str, PixelSums]) -> None:
    """Stops if VV is darker than VH: backscatter of land and water is the other way round.

    Raises:
        UserError: the bands are swapped.
    """
    if any(name not in bands or bands[name].unit != DECIBELS for name in ("VV", "VH")):
        return
    vv, vh = sums["VV"], sums["VH"]
    if vv.count >= FEWEST_FOR_BAND_ORDER * bands["VV"].size ** 2 and vv.mean < vh.mean:
        raise UserError(
            f"{where}: VV is darker than VH ({vv.mean:.1f} against {vh.mean:.1f} dB), so the two bands are"
            " swapped: check how the archive was made"
        )
