"""List the patches of a table that a user brings, their splits or folds, and where their pixels lie."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

from earthprobe.archives import grid, splits
from earthprobe.archives.bands import band_files
from earthprobe.archives.interface import SPLITS
from earthprobe.archives.table import KNOWN, located, read
from earthprobe.archives.table_labels import names_of
from earthprobe.errors import UserError
from earthprobe.storage.band_files import BandFile, columns_in, in_table, stored
from earthprobe.storage.files import replacing, write_csv
from earthprobe.storage.geoparquet import FIELDS, described, footprints, geographic
from earthprobe.storage.geotiff import Frame, frame_of
from earthprobe.storage.geotiff import corners as corners_of
from earthprobe.storage.parquet import with_metadata
from earthprobe.storage.patches import NAMES, shard_of
from earthprobe.storage.rasters import Raster, decode
from earthprobe.storage.source import Source, open_source, top_of

log = logging.getLogger(__name__)

READERS = 8
"""Threads: on a network disk opening a file is mostly waiting."""

TRIED = 200
"""Patches among which one must be readable in each band, to learn the size and type of its pixels."""


def run(*, archive: str, files: Sequence[Path], output: Path, mismatches: Path) -> None:
    """Lists the patches of a table that are in a split, ordered by ``patch_id``.

    Labels are read for a split that deals classes alike, and for nothing else.

    Args:
        archive: JSON of ``archive`` of the configuration, with all defaults.
        files: the folder that the paths of bands start from, or the lists of the members of tar files.
        output: a row a patch: its id, split, group, country, date, place and shard, the columns that the paths of
            bands have in braces and, where there are folds, in which of them it is tested, repeat by repeat; the bands
            are in the metadata.
        mismatches: CSV of the patches in no split.

    Raises:
        UserError: the table cannot be read, it cannot be split so, or of a band no file can be read.
    """
    config: dict[str, Any] = json.loads(archive)
    with replacing(output) as part:
        table = read(config)
        how = config["split"]
        drawn = how["by"] != "table"
        given = {name: file._replace(path=in_table(file.path)) for name, file in band_files(config).items()}
        found = _discovered(config, given, table, files)
        table, places_from, frames = located(table, partial(_frames, files, found, table))
        kinds = rarest(names_of(config), table["patch_id"]) if drawn else []
        table = table.with_columns(split=pl.Series(splits.split(table, how, kinds), dtype=pl.String))
        if how["by"] == "folds":
            numbers = splits.folds(table, how, kinds)
            table = table.with_columns(folds=pl.Series(numbers.tolist(), dtype=pl.List(pl.UInt8)))
        none = table.filter(pl.col("split").is_null())["patch_id"].sort().to_list()
        table = table.filter(pl.col("split").is_not_null()).sort("patch_id")
        _check_splits(config, Counter(table["split"].to_list()))
        if none:
            log.warning("%d patches: in no split", len(none))
        source_paths = [file.path for file in given.values()]
        shards = pl.Series([shard_of(patch_id, config["shards"]) for patch_id in table["patch_id"]], dtype=pl.UInt16)
        extra = columns_in(source_paths)
        folds = ["folds"] if "folds" in table.columns else []
        kept = table.with_columns(shard=shards).select("patch_id", *KNOWN, "shard", *extra, *folds)
        write_csv(mismatches, ("patch_id", "split", "problem"), [(patch_id, "", "in no split") for patch_id in none])
        metadata = {
            "archive": config["name"],
            "simulated": False,
            "shards": config["shards"],
            "mismatches": {"in no split": len(none)} if none else {},
            "places_from": places_from,
            "bands": stored(found),
            "fit": config["fit"],
            "folds": {key: how[key] for key in ("folds", "repeats", "seed")} if folds else None,
        }
        arrow = kept.to_arrow().cast(_plain_text(kept))
        schema = with_metadata(arrow.schema, metadata)
        corners = _corners(kept, frames, places_from)
        if corners is not None:
            places = footprints(corners)
            for field, column in zip(FIELDS, places, strict=True):
                arrow, schema = arrow.append_column(field, column), schema.append(field)
            schema = geographic(schema, described(places[1], polygons=corners.shape[1] > 1))
        pq.write_table(arrow.cast(schema), part, compression="zstd")


def _corners(
    table: pl.DataFrame, frames: Mapping[str, Frame], places_from: str | None
) -> npt.NDArray[np.float64] | None:
    """The corners of patches where their names or files say them, else their centres, if known."""
    if frames:
        unknown = np.full((4, 2), np.nan)
        return np.stack([corners_of(frames[name]) if name in frames else unknown for name in table["patch_id"]])
    if places_from == NAMES:
        corners = grid.footprints(table["patch_id"].to_list())
        if np.isfinite(corners).all():
            return corners
    centres = table.select("longitude", "latitude").cast(pl.Float64).fill_null(float("nan")).to_numpy()[:, None]
    return centres if np.isfinite(centres).any() else None


def rarest(names: Mapping[str, Sequence[str]], ids: Iterable[str]) -> list[str]:
    """Of each patch the rarest of its classes, by which patches are dealt alike; nothing where it has none."""
    counts = Counter(name for classes in names.values() for name in classes)
    return [min(names.get(patch_id) or [""], key=lambda name: (counts[name], name)) for patch_id in ids]


def _check_splits(config: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    if config["split"]["by"] == "folds":
        return
    for split in SPLITS:
        log.info("%s: %d patches", split, counts.get(split, 0))
        if not counts.get(split):
            raise UserError(
                f"{config['table']}: no patch is in {split}: give a column of splits that has it, or archive.split"
            )


def _discovered(
    config: Mapping[str, Any], given: Mapping[str, BandFile], table: pl.DataFrame, files: Sequence[Path]
) -> dict[str, BandFile]:
    """The bands with the size and type of their pixels, by the first patch whose files can be read.

    Raises:
        UserError: of a band no file can be read.
    """
    rows = table.head(TRIED).to_dicts()
    top = ""
    if not files[0].is_dir():  # an archive often has one more folder above
        top = top_of(files, [file.path.format_map(row) for file in given.values() for row in rows])
    paths = {name: f"{top}{file.path}" for name, file in given.items()}
    source = open_source(files, {path.format_map(row) for path in paths.values() for row in rows})
    found: dict[str, BandFile] = {}
    for name, (band, _, number) in given.items():
        raster = _first(source, paths[name], number, rows)
        if isinstance(raster, str):
            raise UserError(f"{config['name']}: of band {name} no file can be read: {raster}")
        height, width = raster.pixels.shape
        if height != width and config["fit"] == "none":
            raise UserError(
                f"{config['name']}: band {name} has {height} x {width} pixels: set archive.fit to crop or resize"
            )
        found[name] = BandFile(
            band._replace(size=min(height, width), dtype=raster.pixels.dtype.name), paths[name], number
        )
    if config["fit"] != "none":
        finest = max(file.band.size for file in found.values())
        sizes = {name: max(1, round(config["size"] * file.band.size / finest)) for name, file in found.items()}
        found = {n: file._replace(band=file.band._replace(size=sizes[n])) for n, file in found.items()}
    return found


def _frames(files: Sequence[Path], bands: Mapping[str, BandFile], table: pl.DataFrame) -> list[Frame | None]:
    """The extent of each patch by the tags of its first TIFF; None where it has none."""
    paths = [file.path for file in bands.values() if file.path.lower().endswith((".tif", ".tiff", "}"))]
    rows = table.to_dicts()
    source = open_source(files, {path.format_map(row) for path in paths for row in rows})

    def frame(row: Mapping[str, Any]) -> Frame | None:
        for path in paths:
            with suppress(ValueError):
                return frame_of(source.read(path.format_map(row)))
        return None

    if not any(frame(row) for row in rows[:TRIED]):
        return [None] * len(rows)
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(frame, rows, chunksize=16))


def _first(source: Source, path: str, number: int, rows: Sequence[Mapping[str, Any]]) -> Raster | str:
    """A band of the first patch that has it, or why that of the first patch cannot be read."""
    reason = ""
    for row in rows:
        name = path.format_map(row)
        try:
            return decode(source.read(name), name.rpartition("/")[2], number)
        except ValueError as error:
            reason = reason or str(error)
    return reason


def _plain_text(table: pl.DataFrame) -> Any:
    """The columns' types as other readers expect them: polars writes long strings and lists."""
    import pyarrow as pa

    plain = {pa.large_string(): pa.string(), pa.large_list(pa.uint8()): pa.list_(pa.uint8())}
    return pa.schema([(field.name, plain.get(field.type, field.type)) for field in table.to_arrow().schema])
