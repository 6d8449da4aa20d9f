"""Write a table of BigEarthNet's patches with reBEN's labels, for studies that need no pixels."""

import logging
from pathlib import Path

import polars as pl

from earthprobe.archives.bigearthnet_v1 import read_split
from earthprobe.archives.grid import scene_of
from earthprobe.archives.interface import SPLITS
from earthprobe.archives.reben import SPLIT_NAMES
from earthprobe.errors import UserError
from earthprobe.storage.files import replacing
from earthprobe.storage.parquet import read_table

log = logging.getLogger(__name__)


def run(
    *, metadata: Path, train: Path | None = None, val: Path | None = None, test: Path | None = None, output: Path
) -> None:
    """Lists the patches of reBEN's table, under its own split or that of BigEarthNet v1.

    Args:
        metadata: reBEN's metadata.parquet.
        train: the split file of v1, as it is published, or packed by xz; without these three it is reBEN's split.
        val: the same.
        test: the same.
        output: Parquet: ``id`` (the Sentinel-1 name), ``labels``, ``split``, ``group`` (the scene within its tile) and
            ``country``; a patch in none of the files has no split.

    Raises:
        UserError: a file is not what it should be.
    """
    table = read_table(metadata, ("s1_name", "labels", "split", "country")).rename({"s1_name": "id"})
    files = {split: path for split, path in zip(SPLITS, (train, val, test), strict=True) if path}
    if files:
        splits = {patch_id: split for split, path in files.items() for _, patch_id in read_split(path)}
        table = table.with_columns(split=pl.col("id").replace_strict(splits, default=None, return_dtype=pl.String))
    else:
        if odd := set(table["split"].unique()) - set(SPLIT_NAMES):
            raise UserError(f"{metadata}: {odd.pop()!r} is no split: expected {', '.join(SPLIT_NAMES)}")
        table = table.with_columns(split=pl.col("split").replace_strict(SPLIT_NAMES))
    groups = pl.Series([scene_of(name) for name in table["id"]], dtype=pl.String)
    table = table.with_columns(group=groups).sort("id")
    log.info("%d patches, %d of them in a split", table.height, table.height - table["split"].null_count())
    with replacing(output) as part:
        table.select("id", "labels", "split", "group", "country").write_parquet(part)
