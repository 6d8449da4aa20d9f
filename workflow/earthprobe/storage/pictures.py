"""The pictures of a page's patches, as large as fits."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from earthprobe.storage.page import block
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.pixels import read_patches
from earthprobe.storage.quick_look import bands_shown, colours_of, quick_look
from earthprobe.storage.thumbnails import SIDE, SIZES, TRIAL, Pictures, sheets, size_that_fits, small

AT_ONCE = 4
"""Shards that are read at the same time: their readers decode on a core each."""


class Shown(NamedTuple):
    """Pictures in a page.

    Attributes:
        meta: of each sensor its name, its colours, pixels along a side and its number of sheets.
        arrays: of each sensor the number of each patch's picture, -1 where there is none.
        elements: the sheets.
        said: how many and how large, for the log.
    """

    meta: list[dict[str, Any]]
    arrays: dict[str, npt.NDArray[np.int32]]
    elements: list[str]
    said: str


def pictures_of(
    ids: Sequence[str], first: Sequence[int], shards: Mapping[str, Sequence[Path]], room: int, seed: int
) -> Shown:
    """Pictures of patches.

    Args:
        ids: of the patches.
        first: the rows whose pictures are wanted most.
        shards: of each sensor.
        room: bytes of the page that they may take.
        seed: of the order in which the others follow, where not all fit.
    """
    bytes_ = int(room * 3 / 4)  # in base64, four characters stand for three bytes
    order = np.random.default_rng(seed).permutation(len(ids))
    order = np.concatenate([np.array(first, dtype=order.dtype), order[~np.isin(order, first)]])
    trials = {
        sensor: list(_looks(paths, set(ids), SIZES[0], stop=TRIAL).values())[:TRIAL] for sensor, paths in shards.items()
    }
    size, share = size_that_fits(
        [np.stack(found) if found else np.empty((0, 1, 1, 3), np.uint8) for found in trials.values()],
        [len(ids)] * len(trials),
        bytes_,
    )
    wanted = {ids[row] for row in order[: int(share * len(ids))]}
    meta, arrays, elements, said = [], {}, [], []
    for sensor, paths in shards.items():
        looks = _looks(paths, wanted, size)
        rows = [row for row, patch_id in enumerate(ids) if patch_id in looks]
        number = np.full(len(ids), -1, np.int32)
        number[rows] = np.arange(len(rows))
        files = sheets(np.stack([looks[ids[row]] for row in rows])) if rows else []
        elements += [block(f"sheet-{sensor}-{place}", content) for place, content in enumerate(files)]
        arrays[f"picture-{sensor}"] = number
        meta.append({"sensor": sensor, "colours": colours_of(_units(paths)), "size": size, "side": SIDE})
        said.append(f"{len(rows)} pictures of {sensor}")
    return Shown(meta, arrays, elements, f"{', '.join(said) or 'no pictures'} of {size} pixels")


def _units(paths: Sequence[Path]) -> dict[str, str]:
    """Of the bands of a sensor's shards."""
    units: dict[str, str] = read_metadata(paths[0])["units"]
    return units


def _looks(paths: Sequence[Path], wanted: set[str], size: int, stop: int | None = None) -> dict[str, Pictures]:
    """Pictures of wanted patches by id; at least ``stop`` of them end the search."""
    found: dict[str, Pictures] = {}
    units = _units(paths)

    def read(path: Path) -> dict[str, Pictures]:
        patches = read_patches(path, wanted, bands_shown(units))
        return {patch_id: small(quick_look(pixels, units), size) for patch_id, pixels in patches.items()}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(paths), AT_ONCE):
            for here in pool.map(read, paths[start : start + AT_ONCE]):
                found |= here
            if stop is not None and len(found) >= stop:
                break
    return found
