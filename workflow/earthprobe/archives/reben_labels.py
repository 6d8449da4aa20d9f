"""The labels of reBEN: a column of its tables."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from earthprobe.archives.bigearthnet import SET_19
from earthprobe.archives.interface import Labels
from earthprobe.storage.parquet import read_table

LABEL_SETS = {SET_19.name: SET_19}


def labels(sources: Sequence[Path], patches: pl.DataFrame) -> list[Labels | str]:
    """The labels of each patch by reBEN's tables, or what is wrong with them.

    Args:
        sources: the tables.
        patches: ``patches.parquet``.
    """
    wanted = set(patches["patch_id"])
    names: dict[str, list[str] | None] = {}
    for path in sources:
        names |= {
            patch_id: found for patch_id, found in read_table(path, ("s1_name", "labels")).rows() if patch_id in wanted
        }
    results: list[Labels | str] = []
    for patch_id in patches["patch_id"]:
        try:
            indices = SET_19.indices(names.get(patch_id) or [])
            results.append(Labels({"19": indices}) if indices else "no label in the table")
        except ValueError as error:
            results.append(str(error))
    return results
