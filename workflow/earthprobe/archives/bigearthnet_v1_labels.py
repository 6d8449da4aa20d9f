"""The labels of BigEarthNet v1: a JSON file a patch."""

import functools
import json
import math
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from earthprobe.archives.bigearthnet import SET_19, SET_43, indices_19
from earthprobe.archives.grid import corners
from earthprobe.archives.interface import Labels
from earthprobe.storage.source import Source, open_source

LABEL_SETS = {label_set.name: label_set for label_set in (SET_43, SET_19)}

NEAR = 1.0
"""Metres within which a corner is the one that a name says."""

READERS = 16  # threads: on a network disk opening a file is mostly waiting
AT_ONCE = 2**17  # patches whose labels files of a packed archive are in memory
SCENE = re.compile(r"(?P<satellite>S1[AB])_\w{2}_\w{4}_\w{4}_\d{8}T\d{6}_\d{8}T\d{6}_(?P<orbit>\d{6})_")
OFFSETS = {"S1A": 73, "S1B": 27}
"""Absolute orbits before the first of track 1."""

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
        return parse_labels(source.read(path), path.rpartition("/")[0].rpartition("/")[2])
    except ValueError as error:
        return str(error)


def parse_labels(content: bytes, patch_id: str = "") -> Labels:
    """The labels in a patch's JSON file of BigEarthNet v1.

    Args:
        content: the file.
        patch_id: the patch, whose place by its name must be that in the file, where the file has one.

    Raises:
        ValueError: the file is no JSON, has no list ``labels``, names an unknown class, or is of another place.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("labels file is not valid JSON") from error
    names = parsed.get("labels") if isinstance(parsed, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("labels file has no list `labels`")
    _check_place(parsed.get("coordinates"), patch_id)
    labels_43 = SET_43.indices(names)
    orbit = relative_orbit(parsed.get("scene_source"))
    return Labels({"43": labels_43, "19": indices_19(labels_43)}, orbit)


def relative_orbit(scene: object) -> int | None:
    """The track of Sentinel-1, by the absolute orbit in the name of the whole scene; None where there is none.

    The satellites repeat their tracks after 175 orbits.
    """
    match = SCENE.match(scene) if isinstance(scene, str) else None
    return (int(match["orbit"]) - OFFSETS[match["satellite"]]) % 175 + 1 if match else None


def _check_place(coordinates: object, patch_id: str) -> None:
    """Refuses a file whose upper left corner is not where the patch's name says."""
    if not isinstance(coordinates, dict):
        return
    found = [coordinates.get(key) for key in ("ulx", "uly")]
    west, north = corners([patch_id])[0].tolist()
    if math.isnan(west) or not all(isinstance(value, int | float) for value in found):  # nothing to compare
        return
    if max(abs(found[0] - west), abs(found[1] - north)) > NEAR:
        raise ValueError(
            f"labels file has the corner {found[0]:.0f}, {found[1]:.0f}, and its name that of {west:.0f}, {north:.0f}"
        )
