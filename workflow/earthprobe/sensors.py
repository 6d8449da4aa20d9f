"""The bands of Sentinel-1 and Sentinel-2, in the order in which BigEarthNet's patches are read."""

from typing import NamedTuple


class Band(NamedTuple):
    """A band as it is published.

    Attributes:
        sensor: ``s1`` or ``s2``.
        size: pixels along a side of a patch, which is 1,200 m.
        dtype: of the pixels; float32 is backscatter in dB, uint16 is reflectance times 10,000.
        wavelength: in micrometres; None of radar, which has no optical one.
        unit: of the pixels.
    """

    sensor: str
    size: int
    dtype: str
    wavelength: float | None
    unit: str


SIZE = 120
"""Pixels along a side of a patch at 10 m."""


DECIBELS, REFLECTANCE = "dB", "reflectance x 10,000"


def _optical(size: int, wavelength: float) -> Band:
    return Band("s2", size, "uint16", wavelength, REFLECTANCE)


BANDS = {
    "VV": Band("s1", 120, "float32", None, DECIBELS),
    "VH": Band("s1", 120, "float32", None, DECIBELS),
    # Central wavelengths of Sentinel-2A (https://sentiwiki.copernicus.eu/web/s2-mission), as torchgeo has them.
    "B01": _optical(20, 0.4427),
    "B02": _optical(120, 0.4927),
    "B03": _optical(120, 0.5598),
    "B04": _optical(120, 0.6646),
    "B05": _optical(60, 0.7041),
    "B06": _optical(60, 0.7405),
    "B07": _optical(60, 0.7828),
    "B08": _optical(120, 0.8328),
    "B8A": _optical(60, 0.8647),
    "B09": _optical(20, 0.9451),
    "B11": _optical(60, 1.6137),
    "B12": _optical(60, 2.2024),
}
"""B10 is not there: it sees no ground, and level 2A leaves it out."""

KNOWN = BANDS | {"B10": _optical(20, 1.3735)}
"""The bands of level 1C, too, which other archives have."""

LIMITS = {DECIBELS: (-80.0, 40.0), REFLECTANCE: (0.0, 30_000.0)}
"""Values beyond which no land or water is, by their unit: they are amplitudes, fill values or the like."""


def bands_of(sensor: str) -> tuple[str, ...]:
    """The names of a sensor's bands, in their order."""
    return tuple(name for name, band in BANDS.items() if band.sensor == sensor)
