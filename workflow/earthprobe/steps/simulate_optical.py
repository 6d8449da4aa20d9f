"""Draw what Sentinel-2 sees of a simulated archive's patches."""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache, partial
from pathlib import Path

import numpy as np
from rasterio.crs import CRS

from earthprobe.archives.bigearthnet import CLASSES_43
from earthprobe.archives.bigearthnet_v1 import read_split
from earthprobe.archives.grid import PATCH, SIDE, corners, named
from earthprobe.archives.label_frequencies import Frequencies, draw_labels, read_frequencies
from earthprobe.archives.simulated import draw_scene
from earthprobe.archives.simulated_reflectance import draw_reflectance
from earthprobe.errors import UserError
from earthprobe.sensors import BANDS
from earthprobe.storage.plain_tiff import encode

log = logging.getLogger(__name__)

NORTH = "VWX"
"""Bands of latitude, from 56 degrees on, whose winters have snow."""


def run(*, lists: Sequence[Path], seed: int = 0, label_sets: Path, threads: int = 1, folder: Path) -> None:
    """Writes one folder a patch, as BigEarthNet v1 has them, with twelve TIFFs and a JSON file.

    Each shows the land covers of its Sentinel-1 patch in the same places, on the same day.

    Args:
        lists: the split files that ``simulate`` wrote.
        seed: that of ``simulate``.
        label_sets: the same as of ``simulate``.
        threads: CPU threads; the files do not depend on them.
        folder: that of all Sentinel-2 patches.

    Raises:
        UserError: the folder already holds patches, which would mix with the new ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: delete it first")
    frequencies = read_frequencies(label_sets)
    pairs = [pair for path in lists for pair in read_split(path)]
    moments = named([s1_name for _, s1_name in pairs])["time"]
    write = partial(_write_patch, seed=seed, frequencies=frequencies, folder=folder)
    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(write, pairs, moments), start=1):
            if done % 500 == 0:
                log.info("%d of %d patches", done, len(pairs))


def _write_patch(
    pair: tuple[str, str], moment: datetime | None, seed: int, frequencies: Frequencies, folder: Path
) -> None:
    s2_name, s1_name = pair
    patch = folder / s2_name
    place = PATCH.search(s1_name)
    if place is None or moment is None:
        raise UserError(f"{s1_name} is no name that `earthprobe simulate` gave")
    number = int(place["v"])
    rng = np.random.default_rng([seed, 1, number])  # with which its Sentinel-1 patch was drawn
    labels = draw_labels(rng, frequencies)
    scene = draw_scene(rng, labels)
    # A generator of its own, so that Sentinel-1 stays what it is, whatever changes here.
    own = np.random.default_rng([seed, 2, number])
    bands = draw_reflectance(own, labels, scene, moment, north=place["band"] in NORTH)
    west, north = corners([s1_name])[0].tolist()
    epsg = 32600 + int(place["zone"])
    patch.mkdir()
    for band, pixels in bands.items():
        content = encode(pixels, west, north, SIDE / BANDS[band].size, epsg)
        (patch / f"{s2_name}_{band}.tif").write_bytes(content)
    said = {
        "labels": [CLASSES_43[label] for label in labels],
        "coordinates": {"ulx": west, "uly": north, "lrx": west + SIDE, "lry": north - SIDE},
        "projection": _projection(epsg),
        "tile_source": "simulated by earthprobe",
        "acquisition_date": f"{moment:%Y-%m-%d %H:%M:%S}",
    }
    (patch / f"{s2_name}_labels_metadata.json").write_text(json.dumps(said), encoding="utf-8")


@cache
def _projection(epsg: int) -> str:
    text: str = CRS.from_epsg(epsg).to_wkt()
    return text
