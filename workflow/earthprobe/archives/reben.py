"""reBEN (BigEarthNet v2) as it is published: a folder a scene with one a patch, and tables of labels and splits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from earthprobe.archives.grid import date_of
from earthprobe.archives.interface import Entry
from earthprobe.errors import UserError
from earthprobe.storage.parquet import read_table

DEPTH = 2

SPLIT_NAMES = {"train": "train", "validation": "val", "test": "test"}
"""reBEN's names of the splits, and ours."""


def entries(lists: Sequence[Path]) -> Iterator[Entry]:
    """What the tables of labels and splits say, row by row.

    Their ``patch_id`` is the Sentinel-2 patch's, with row and column padded to two digits; the Sentinel-1 patch
    and its folder are named by ``s1_name``, which is not padded: neither can be derived from the other.

    Raises:
        UserError: a file is none of these tables, or names another split.
    """
    for path in lists:
        table = read_table(path, ("s1_name", "patch_id", "split", "country"))
        for name in ("s1_name", "patch_id", "split"):
            if table[name].dtype != pl.String or table[name].null_count():
                raise UserError(f"{path}: column {name} is not text, or has missing values")
        for patch_id, s2_id, split, country in table.rows():
            if split not in SPLIT_NAMES:
                raise UserError(f"{path}: {split!r} is not a split: expected {', '.join(SPLIT_NAMES)}")
            yield Entry(patch_id, s2_id, SPLIT_NAMES[split], country, date_of(patch_id))


def folder_of(sensor: str, patch_id: str, s2_id: str) -> str:
    """Where a patch's files of a sensor lie, below the archive's folder of it: in that of its scene."""
    if sensor == "s1":
        return f"{patch_id.rsplit('_', 3)[0]}/{patch_id}"
    return f"{s2_id.rsplit('_', 2)[0]}/{s2_id}"
