"""The labels of BigEarthNet v1: a JSON file a patch."""

import functools
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from earthprobe.archives.bigearthnet import SET_19, SET_43, indices_19
from earthprobe.archives.interface import Labels
from earthprobe.storage.source import Source, open_source

LABEL_SETS = {label_set.name: label_set for label_set in (SET_43, SET_19)}

READERS = 16  # threads: on a network disk opening a file is mostly waiting
AT_ONCE = 2**17  # patches whose labels files of a packed archive are in memory
LABELS = "{folder}/{name}_labels_metadata.json"


def labels(sources: Sequence[Path], patches: pl.DataFrame) -> list[Labels | str]:
    """The labels of each patch, or why they cannot be read.

    Args:
        sources: the folder of Sentinel-1 patches, or the lists of the members of its tar files.
        patches: ``patches.parquet``.
    """
    folders = patches["folder_s1"].to_list()
    results: list[Labels | str] = []
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(folders), AT_ONCE):
            part = [
                LABELS.format(folder=folder, name=folder.rpartition("/")[2])
                for folder in folders[start : start + AT_ONCE]
            ]
            results += pool.map(functools.partial(_labels_or_reason, open_source(sources, part)), part, chunksize=256)
    return results


def _labels_or_reason(source: Source, path: str) -> Labels | str:
    try:
        return parse_labels(source.read(path))
    except ValueError as error:
        return str(error)


def parse_labels(content: bytes) -> Labels:
    """The labels in a patch's JSON file of BigEarthNet v1.

    Raises:
        ValueError: the file is no JSON, has no list ``labels`` or names an unknown class.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("labels file is not valid JSON") from error
    names = parsed.get("labels") if isinstance(parsed, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("labels file has no list `labels`")
    labels_43 = SET_43.indices(names)
    return {"43": labels_43, "19": indices_19(labels_43)}
