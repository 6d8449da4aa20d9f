"""What Sentinel-2 sees of a simulated patch: reflectance x 10,000 in the twelve bands of level 2A.

A pixel is a mixture of surfaces (leaves, needles, bare soil, roofs, water and so on), each with its spectrum; a cover
has a mixture that varies within it, from parcel to parcel where it has parcels. Season and the patch's own shifts move
the spectra, slopes and crowns shade them, and a band sees pixels of its own size. A few patches have snow or clouds, as
in the published archive. The free figures were set so that means and deviations of bands, their correlations and the
spatial autocorrelation come out as in real patches and in the published figures of the whole archive;
``tests/unit/archives/test_simulated_reflectance.py`` compares them.
"""

import datetime
import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.fft

from earthprobe.archives.simulated import COVERS, FIRST_WATER, Field, Scene
from earthprobe.archives.simulated_surfaces import GROUNDS, SPECTRA, Ground
from earthprobe.sensors import BANDS, SIZE, bands_of

Plane = npt.NDArray[np.float32]

BANDS_S2 = bands_of("s2")
OF_SIZE = {size: [n for n, band in enumerate(BANDS_S2) if BANDS[band].size == size] for size in (120, 60, 20)}

MATRIX = np.array(list(SPECTRA.values()), dtype=np.float64)
NAMES = list(SPECTRA)
ASPHALT, SNOW, CLOUD = (NAMES.index(name) for name in ("asphalt", "snow", "cloud"))
WATER = [NAMES.index(name) for name in ("river", "lake", "sea")]

FOREST = range(22, 25)

SUMMER = 195  # day of the year on which leaves are fullest
SURFACE_SHIFT = (0.12, 0.05)  # a surface in a patch as a whole, and each of its bands: of the logarithm
PATCH_GAIN = 0.05  # brightness of a patch: sun and slope, of the logarithm
HAZE = 45.0  # of B02 in a patch: what the correction of the atmosphere left
WATER_SHIFT = 0.6  # brightness of water in a patch: depth, algae and glint, of the logarithm
PARCEL_GAIN = 0.09  # brightness of a parcel, of the logarithm
SHADE = (0.06, 0.10)  # slopes, and crowns of a forest, of the logarithm
ROUGH = 0.05  # the same of other land
NOISE = 9.0  # of the sensor
ROUGHNESS = 0.8  # how much of the fine there is in what varies: the greater, the smoother
BLUR = 0.25  # share of its neighbours in what a pixel sees, along rows and along columns
BRIGHTEST = 20_000  # of clouds
HAZE_OF_BANDS = np.array([1.25, 1, 0.75, 0.55, 0.45, 0.3, 0.25, 0.2, 0.15, 0.15, 0.05, 0.03])

ROADS = 0.5  # of patches, one of which it crosses

WINTER = (11, 12, 1, 2, 3, 4)
SNOWY = 0.2  # of patches of the north in these months
CLOUDY = 0.014  # of patches
SHADOW = (9, -7)  # pixels from a cloud to its shadow


def draw_reflectance(
    rng: np.random.Generator, labels: Sequence[int], scene: Scene, date: datetime.date, north: bool
) -> dict[str, npt.NDArray[np.uint16]]:
    """Draws what Sentinel-2 sees of a patch.

    Args:
        rng: other than that of the scene, so that this one stays what it is.
        labels: the patch's 43-class labels.
        scene: what lies where.
        date: when, which decides how green it is.
        north: whether there is snow in winter.

    Returns:
        Reflectance x 10,000 by band, shape (size, size) of the band.
    """
    day = date.timetuple().tm_yday
    green = float(np.clip(0.5 + 0.5 * math.cos(2 * math.pi * (day - SUMMER) / 365) + rng.normal(0, 0.12), 0, 1))
    shares = np.zeros((len(NAMES), SIZE, SIZE), np.float32)
    shade = np.float32(SHADE[0]) * scene.relief.astype(np.float32)
    fine = _field(rng, 0.7)
    for position, label in enumerate(labels):
        here = scene.mosaic == position
        parcel = scene.parcels[position]
        ground = _of_season(GROUNDS[label], green, day)
        index = [NAMES.index(name) for name in ground.shares]
        if len(index) == 1:
            shares[index[0]][here] = 1
        else:
            fields = np.stack([_varied(rng, parcel, _length(label))[here] for _ in index])
            # Each surface is the largest as often as its share says where deviations are 1.28, as of Gumbel's law.
            prior = max(1.0, ground.contrast / 1.28) * np.log(list(ground.shares.values()))
            weights = np.exp(ground.contrast * fields + prior[:, None])
            for row, weight in zip(index, weights / weights.sum(axis=0), strict=True):
                shares[row][here] = weight
        if label >= FIRST_WATER:
            shade[here] = 0.01 * fine[here]
        else:
            shade[here] += (SHADE[1] if label in FOREST else ROUGH) * fine[here]
            if parcel is not None:
                shade[here] += PARCEL_GAIN * rng.standard_normal(parcel.max() + 1)[parcel[here]]
    if rng.random() < ROADS:
        _add_road(rng, shares, scene, labels)
    shares *= np.exp(shade)
    if north and date.month in WINTER and rng.random() < SNOWY:
        _add_snow(rng, shares, scene, labels)
    if rng.random() < CLOUDY:
        _add_clouds(rng, shares)
    return _seen(rng, shares, _spectra(rng))


def _of_season(ground: Ground, green: float, day: int) -> Ground:
    """A class as it is on a day: fields are green in spring, straw in summer, and soil; trees lose their leaves."""
    shares = dict(ground.shares)
    if "field" in shares:
        whole = shares.pop("field")
        crop = 0.22 + 0.5 * math.exp(-(((day - 150) / 45) ** 2))
        straw = 0.08 + 0.42 * math.exp(-(((day - 225) / 35) ** 2))
        for name, share in (("crop", crop), ("straw", straw), ("soil", 1 - crop - straw)):
            shares[name] = shares.get(name, 0) + whole * max(share, 0.05)
    if "leaf" in shares:
        shares["twigs"] = shares["leaf"] * (1 - green)
        shares["leaf"] *= green
    if "grass" in shares:
        shares["straw"] = shares.get("straw", 0) + shares["grass"] * 0.35 * (1 - green)
        shares["grass"] *= 1 - 0.35 * (1 - green)
    return Ground({name: share for name, share in shares.items() if share > 0.01}, ground.contrast)


def _length(label: int) -> float:
    """Over how many pixels a class without parcels is alike."""
    return max(COVERS[label].grain, 1.3)


def _varied(rng: np.random.Generator, parcel: npt.NDArray[np.intp] | None, length: float) -> Plane:
    """A field of mean 0 and deviation 1: a figure a parcel, or one that changes smoothly."""
    if parcel is None:
        return _field(rng, length)
    return rng.standard_normal(int(parcel.max()) + 1, dtype=np.float32)[parcel]


def _field(rng: np.random.Generator, length: float) -> Plane:
    """A field of mean 0 and deviation 1 with more weight on the coarse: alike over ``length`` pixels, rough within."""
    weights = _spectrum(length)
    parts = rng.standard_normal((2, *weights.shape), dtype=np.float32)
    field: Plane = scipy.fft.irfft2((parts[0] + 1j * parts[1]) * weights, s=(SIZE, SIZE))
    field /= field.std()
    return field


@functools.cache
def _spectrum(length: float) -> Plane:
    """The amplitude of each wave of a field; that of the mean is 0."""
    frequency = np.hypot(scipy.fft.fftfreq(SIZE)[:, None], scipy.fft.rfftfreq(SIZE)[None])
    amplitude: Plane = ((1 + (2 * math.pi * frequency * length) ** 2) ** -ROUGHNESS).astype(np.float32)
    amplitude[0, 0] = 0
    return amplitude


def _spectra(rng: np.random.Generator) -> Field:
    """The surfaces' spectra in a patch, shape (surfaces, bands)."""
    own = SURFACE_SHIFT[0] * rng.standard_normal((len(NAMES), 1))
    own[WATER] *= WATER_SHIFT / SURFACE_SHIFT[0]
    bands = SURFACE_SHIFT[1] * rng.standard_normal((len(NAMES), len(BANDS_S2)))
    return MATRIX * np.exp(PATCH_GAIN * rng.standard_normal() + own + bands)


def _add_road(rng: np.random.Generator, shares: Plane, scene: Scene, labels: Sequence[int]) -> None:
    """Lays a road across the land of a patch."""
    angle = rng.uniform(0, math.pi)
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) - SIZE / 2
    along, across = (
        columns * math.cos(angle) + rows * math.sin(angle),
        rows * math.cos(angle) - columns * math.sin(angle),
    )
    bend = rng.normal(0, 4) * np.sin(along / rng.uniform(12, 30) + rng.uniform(0, 6))
    covered = np.clip(1.2 - abs(across - bend - rng.uniform(-40, 40)), 0, rng.uniform(0.4, 0.9))
    covered *= np.array([label < FIRST_WATER for label in labels])[scene.mosaic]
    shares *= 1 - covered
    shares[ASPHALT] += covered


def _add_snow(rng: np.random.Generator, shares: Plane, scene: Scene, labels: Sequence[int]) -> None:
    """Lays snow on land: it is patchy, forests hide most of it, and water is dark or a sheet of ice."""
    hidden = [
        0.75 if label in FOREST else float(rng.random() < 0.7) if label >= FIRST_WATER else 0.0 for label in labels
    ]
    depth = 0.8 + rng.normal() + 1.2 * _field(rng, 8.0)
    covered = (1 - np.array(hidden, np.float32)[scene.mosaic]) / (1 + np.exp(-2 * depth))
    shares *= 1 - covered
    shares[SNOW] += covered * np.exp(0.25 * scene.relief)


def _add_clouds(rng: np.random.Generator, shares: Plane) -> None:
    """Lays clouds over a patch, and their shadows."""
    thick = np.clip(0.9 * (_field(rng, 14.0) - rng.normal(0.2, 0.7)), 0, 1)
    shares *= (1 - 0.6 * np.roll(thick, SHADOW, axis=(0, 1))) * (1 - thick)
    shares[CLOUD] += thick


def _seen(rng: np.random.Generator, shares: Plane, spectra: Field) -> dict[str, npt.NDArray[np.uint16]]:
    """The bands of mixed pixels, each at its resolution."""
    present = np.flatnonzero(shares.any(axis=(1, 2)))
    haze = HAZE * rng.standard_normal() * HAZE_OF_BANDS
    seen = {}
    for size, numbers in OF_SIZE.items():
        factor = SIZE // size
        mixed = shares[present].reshape(len(present), size, factor, size, factor).mean(axis=(2, 4))
        planes = _blurred(np.tensordot(spectra[present][:, numbers].T.astype(np.float32), mixed, axes=1))
        planes += haze[numbers, None, None].astype(np.float32)
        planes += NOISE * rng.standard_normal(planes.shape, dtype=np.float32)
        for number, plane in zip(numbers, planes.round().clip(1, BRIGHTEST).astype(np.uint16), strict=True):
            seen[BANDS_S2[number]] = plane
    return seen


def _blurred(planes: Plane) -> Plane:
    """Planes of which each pixel sees a little of its neighbours."""
    for axis in (1, 2):
        before, after = (np.roll(planes, step, axis) for step in (1, -1))
        for edge, wrapped in ((0, before), (-1, after)):  # beyond the edge it is as within
            within = [slice(None)] * 3
            within[axis] = slice(edge, edge + 1 or None)
            wrapped[tuple(within)] = planes[tuple(within)]
        planes = (1 - BLUR) * planes + BLUR / 2 * (before + after)
    return planes
