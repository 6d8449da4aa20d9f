"""Patches in the format of BigEarthNet v1, drawn at random: what lies where, and the backscatter of it.

A patch is a mosaic of its land covers; each cover has a mean
backscatter, shared shifts of season and moisture move it, fields and stands vary within it, and multi-look
speckle lies over all. The free figures below were set so that band means and deviations, the difference of the
bands and the spatial autocorrelation come out as in real patches;
``tests/unit/archives/test_simulated.py`` compares them. What Sentinel-2 sees of the same scene is drawn by
:mod:`earthprobe.archives.simulated_reflectance`.
No figure that is computed from such an archive says anything about a model.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from earthprobe.archives.bigearthnet import CLASSES_43
from earthprobe.archives.grid import corners
from earthprobe.sensors import SIZE

Field = npt.NDArray[np.float64]


class Cover(NamedTuple):
    """A class of the 43.

    Attributes:
        vv: mean backscatter in dB, typical of C band over such cover; not measured here.
        vh: the same in VH.
        texture: deviation in dB of what varies within the class.
        grain: over how many pixels it is alike; 0 is pixel by pixel (walls and corners of buildings).
        parcels: whether it jumps from parcel to parcel, as fields do, instead of changing smoothly.
    """

    vv: float
    vh: float
    texture: float
    grain: float
    parcels: bool = False


# In torchgeo's order.
COVERS = [
    Cover(-3.8, -11.6, 3.2, 0),  # Continuous urban fabric
    Cover(-7.6, -15.2, 2.8, 0.5),  # Discontinuous urban fabric
    Cover(-5.8, -14.9, 3.5, 1.0),  # Industrial or commercial units
    Cover(-9.3, -17.1, 2.4, 0.5),  # Road and rail networks and associated land
    Cover(-7.6, -16.8, 4.1, 1.2),  # Port areas
    Cover(-14.3, -22.4, 2.2, 4.0),  # Airports
    Cover(-11.0, -19.2, 2.4, 2.0),  # Mineral extraction sites
    Cover(-10.3, -17.3, 1.9, 1.5),  # Dump sites
    Cover(-11.2, -18.5, 2.2, 1.5),  # Construction sites
    Cover(-9.2, -15.2, 1.7, 1.0),  # Green urban areas
    Cover(-10.5, -16.6, 1.7, 2.0),  # Sport and leisure facilities
    Cover(-11.7, -20.0, 1.9, 7.0, True),  # Non-irrigated arable land
    Cover(-12.8, -21.2, 2.0, 10.0, True),  # Permanently irrigated land
    Cover(-13.4, -23.3, 2.2, 9.0, True),  # Rice fields
    Cover(-12.8, -21.6, 1.4, 3.0, True),  # Vineyards
    Cover(-10.5, -17.6, 1.4, 2.5, True),  # Fruit trees and berry plantations
    Cover(-11.2, -18.5, 1.2, 1.5),  # Olive groves
    Cover(-12.3, -19.0, 1.1, 5.0, True),  # Pastures
    Cover(-11.5, -18.8, 1.5, 3.0, True),  # Annual crops associated with permanent crops
    Cover(-11.2, -18.8, 1.8, 3.0, True),  # Complex cultivation patterns
    Cover(-10.7, -17.3, 1.6, 4.0, True),  # Land principally occupied by agriculture
    Cover(-13.7, -19.7, 1.8, 1.5),  # Agro-forestry areas
    Cover(-9.7, -14.8, 0.9, 2.0),  # Broad-leaved forest
    Cover(-11.0, -16.5, 1.0, 1.2),  # Coniferous forest
    Cover(-10.3, -15.5, 1.0, 3.5),  # Mixed forest
    Cover(-13.0, -20.4, 1.6, 7.0),  # Natural grassland
    Cover(-12.1, -18.0, 1.3, 6.0),  # Moors and heathland
    Cover(-11.6, -16.6, 1.3, 4.0),  # Sclerophyllous vegetation
    Cover(-11.3, -17.4, 1.5, 4.5),  # Transitional woodland/shrub
    Cover(-16.4, -24.0, 1.9, 5.0),  # Beaches, dunes, sands
    Cover(-11.0, -19.5, 2.6, 4.0),  # Bare rock
    Cover(-12.3, -20.4, 2.0, 5.0),  # Sparsely vegetated areas
    Cover(-13.0, -20.4, 1.5, 6.0),  # Burnt areas
    Cover(-11.6, -19.7, 1.9, 4.0),  # Inland marshes
    Cover(-12.8, -18.3, 1.0, 8.0),  # Peatbogs
    Cover(-15.0, -22.4, 1.7, 5.0),  # Salt marshes
    Cover(-18.0, -25.5, 2.2, 6.0, True),  # Salines
    Cover(-16.0, -24.4, 2.0, 7.0),  # Intertidal flats
    Cover(-18.0, -24.0, 0.9, 6.0),  # Water courses
    Cover(-22.0, -27.4, 0.5, 10.0),  # Water bodies
    Cover(-19.5, -27.0, 0.5, 10.0),  # Coastal lagoons
    Cover(-19.0, -27.0, 0.6, 10.0),  # Estuaries
    Cover(-20.2, -28.0, 0.5, 12.0),  # Sea and ocean
]
FIRST_WATER = 38  # classes from here on are water: wind moves them, season and soil do not

LOOKS = 4.9  # equivalent number of looks of Sentinel-1 IW GRD (S-1 product definition)
SPECKLE_SMOOTHING = 1.0  # pixels: 20 m of resolution on a 10 m grid makes neighbours alike
PATCH_SHIFT = 1.1  # dB, both bands: season, soil moisture, incidence angle
BAND_SHIFT = 1.1  # dB, each band on its own
COVER_SHIFT = 0.7  # dB, a class in a patch
RELIEF = (1.2, 10.0)  # dB and pixels: slopes under all covers alike
WIND_SHIFT = 3.0  # dB: roughness of open water
VH_TEXTURE = 1.15  # volume scattering varies more in VH
NOISE_FLOOR = (-32.0, -33.5)  # dB, VV and VH
MOSAIC_SMOOTHING = (6.0, 18.0)  # pixels: from small parcels to large stands
TILES = (
    "29SNB",
    "29UPU",
    "31UER",
    "31UFR",
    "32TMT",
    "33TWN",
    "33UUP",
    "34TCR",
    "34TEP",
    "34WFU",
    "35ULA",
    "35VNH",
)


class Scene(NamedTuple):
    """What lies where in a patch, before any sensor looks at it.

    Attributes:
        mosaic: which label a pixel has, as its position among those of the patch.
        relief: slopes under all covers alike, of mean 0 and deviation 1.
        parcels: of each label, which parcel a pixel lies in; None where the cover has none.
        backscatter: mean backscatter in dB, VV then VH, to which speckle comes.
    """

    mosaic: npt.NDArray[np.intp]
    relief: Field
    parcels: list[npt.NDArray[np.intp] | None]
    backscatter: Field


def draw_scene(rng: np.random.Generator, labels: Sequence[int]) -> Scene:
    """Draws what lies where in a patch with the given 43-class labels."""
    mosaic = _mosaic(rng, len(labels))
    shift = rng.normal(0, PATCH_SHIFT) + rng.normal(0, BAND_SHIFT, size=2)
    wind = rng.normal(0, WIND_SHIFT) * np.array([1.0, 0.5])  # wind roughens VV more than VH
    relief = _field(rng, RELIEF[1])
    level = np.empty((2, SIZE, SIZE))
    parcels: list[npt.NDArray[np.intp] | None] = []
    for position, label in enumerate(labels):
        here, cover, water = mosaic == position, COVERS[label], label >= FIRST_WATER
        parcel, field = _parcels(rng, cover.grain) if cover.parcels else (None, _field(rng, cover.grain))
        parcels.append(parcel)
        texture = cover.texture * field[here]
        own = rng.normal(0, COVER_SHIFT) + rng.normal(0, COVER_SHIFT / 2, size=2)
        common = texture if water else texture + RELIEF[0] * relief[here]
        for band, (mean, spread) in enumerate(((cover.vv, 1.0), (cover.vh, VH_TEXTURE))):
            level[band, here] = mean + own[band] + (wind if water else shift)[band] + spread * common
    return Scene(mosaic, relief, parcels, level)


def draw_pixels(rng: np.random.Generator, labels: Sequence[int]) -> npt.NDArray[np.float32]:
    """Draws the backscatter of a patch with the given 43-class labels: dB, VV then VH, shape (2, 120, 120)."""
    level = draw_scene(rng, labels).backscatter
    intensity = 10 ** (level / 10) * np.stack([_speckle(rng), _speckle(rng)])
    floor = 10 ** (np.array(NOISE_FLOOR) / 10)[:, None, None] * rng.gamma(LOOKS, 1 / LOOKS, size=level.shape)
    return (10 * np.log10(intensity + floor)).astype(np.float32)


def _mosaic(rng: np.random.Generator, covers: int) -> npt.NDArray[np.intp]:
    """Which cover lies where: smooth random fields compete, and each cover wins at least a corner."""
    length = rng.uniform(*MOSAIC_SMOOTHING)
    bias = rng.normal(0, 0.9, size=covers)
    fields = np.stack([_field(rng, length) + bias[index] for index in range(covers)])
    mosaic: npt.NDArray[np.intp] = fields.argmax(axis=0)
    for index in range(covers):
        if (mosaic == index).sum() < 100:
            mosaic[fields[index] >= np.sort(fields[index], axis=None)[-300]] = index
    return mosaic


def _field(rng: np.random.Generator, length: float) -> Field:
    """A smooth Gaussian field of mean 0 and deviation 1 whose values are alike over ``length`` pixels."""
    field: Field = rng.standard_normal((SIZE, SIZE))
    if length:
        field = gaussian_filter(field, length, mode="wrap")
    field -= field.mean()
    field /= field.std()
    return field


def _parcels(rng: np.random.Generator, length: float) -> tuple[npt.NDArray[np.intp], Field]:
    """Parcels about twice ``length`` pixels wide, and a field of mean 0 and deviation 1 with one value in each."""
    centres = rng.uniform(0, SIZE, size=(max(4, round((SIZE / (2 * length)) ** 2)), 2))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    _, nearest = cKDTree(centres).query(np.stack([rows.ravel(), columns.ravel()], axis=1))
    parcel: npt.NDArray[np.intp] = nearest.reshape(SIZE, SIZE)
    steps: Field = rng.standard_normal(len(centres))[parcel]
    steps -= steps.mean()
    steps /= max(steps.std(), 1e-6)
    return parcel, steps


def _speckle(rng: np.random.Generator) -> Field:
    """Multi-look speckle of mean 1: gamma with :data:`LOOKS` looks, by Wilson and Hilferty's cube (1931)."""
    ninth = 1 / (9 * LOOKS)
    cube: Field = np.maximum(1 - ninth + np.sqrt(ninth) * _field(rng, SPECKLE_SMOOTHING), 0.02) ** 3
    return cube


def write_patch(
    rng: np.random.Generator,
    number: int,
    labels: Sequence[int],
    pixels: npt.NDArray[np.float32],
    folder: Path,
) -> tuple[str, str]:
    """Writes the files of a patch.

    Args:
        rng: draws its place and time.
        number: makes its name unique.
        labels: its 43-class indices.
        pixels: what :func:`draw_pixels` drew.
        folder: that of all patches.

    Returns:
        The names of the patch and of its Sentinel-2 patch, of which there are no files.
    """
    tile = TILES[rng.integers(len(TILES))]
    column, row = int(rng.integers(90)), number  # the number makes the name unique
    moment = datetime(2017, 6, 1) + timedelta(minutes=int(rng.integers(525_600)))
    s1_name = f"S1{'AB'[rng.integers(2)]}_IW_GRDH_1SDV_{moment:%Y%m%dT%H%M%S}_{tile}_{column}_{row}"
    s2_name = f"S2{'AB'[rng.integers(2)]}_MSIL2A_{moment:%Y%m%dT%H%M%S}_{column}_{row}"
    west, north = corners([s1_name])[0].tolist()
    crs = CRS.from_epsg(32600 + int(tile[:2]))
    patch = folder / s1_name
    patch.mkdir(exist_ok=True)
    for band, values in zip(("VV", "VH"), pixels, strict=True):
        with rasterio.open(
            patch / f"{s1_name}_{band}.tif",
            "w",
            driver="GTiff",
            width=SIZE,
            height=SIZE,
            count=1,
            dtype="float32",
            crs=crs,
            transform=from_origin(west, north, 10, 10),
        ) as image:
            image.write(values, 1)
    content = {
        "labels": [CLASSES_43[label] for label in labels],
        "coordinates": {"ulx": west, "uly": north, "lrx": west + 1200, "lly": north - 1200},
        "projection": crs.to_wkt(),
        "corresponding_s2_patch": s2_name,
        "scene_source": "simulated by earthprobe",
        "acquisition_time": f"{moment:%Y-%m-%dT%H:%M:%S}",
    }
    (patch / f"{s1_name}_labels_metadata.json").write_text(json.dumps(content), encoding="utf-8")
    return s1_name, s2_name
