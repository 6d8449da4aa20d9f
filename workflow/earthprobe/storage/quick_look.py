"""Patches as pictures for the eye."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from earthprobe.sensors import BANDS, DECIBELS, REFLECTANCE

# dB that become black and full colour: VV red, VH green, VV-VH blue.
RANGES = ((-22.0, -3.0), (-29.0, -10.0), (1.0, 13.0))
BRIGHT = 3000  # reflectance times 10,000 that becomes full colour; few surfaces but snow and cloud are brighter
GAMMA = 0.6  # forest reflects a twentieth of that and would be black
UNITS = {name: band.unit for name, band in BANDS.items()}
SHOWN = {"s1": ("VV", "VH"), "s2": ("B04", "B03", "B02")}
COLOURS = {"s1": "red VV, green VH, blue VV-VH", "s2": "true colour (B04, B03, B02)"}


def _kind(units: Mapping[str, str]) -> str:
    """Which picture the bands can make: that of a sensor, or none of these."""
    if all(units.get(band) == DECIBELS for band in SHOWN["s1"]):
        return "s1"
    return "s2" if all(units.get(band) == REFLECTANCE for band in SHOWN["s2"]) else ""


def colours_of(units: Mapping[str, str]) -> str:
    """What the colours of a picture are.

    Args:
        units: of the patch's bands.
    """
    return COLOURS.get(_kind(units), f"bands {', '.join(list(units)[:3])}, each from its darkest to its brightest")


def bands_shown(units: Mapping[str, str]) -> tuple[str, ...]:
    """The bands that a picture is made from.

    Args:
        units: of the patch's bands.
    """
    return SHOWN.get(_kind(units), tuple(units))


def quick_look(pixels: Mapping[str, npt.NDArray[Any]], units: Mapping[str, str] = UNITS) -> npt.NDArray[np.uint8]:
    """An image of a patch: true colour where its bands are there, else false colour.

    Args:
        pixels: band -> its pixels, shape (size, size).
        units: of the bands.

    Returns:
        Red B04, green B03, blue B02, or red VV, green VH, blue VV-VH, shape (size, size, 3); of other bands the first
        three of a size, each from its darkest to its brightest pixel.
    """
    match _kind({band: unit for band, unit in units.items() if band in pixels}):
        case "s2":
            colours = np.stack([pixels[band] for band in SHOWN["s2"]], axis=-1)
            return (255 * (colours / BRIGHT).clip(0, 1) ** GAMMA).astype(np.uint8)
        case "s1":
            bands = (pixels["VV"], pixels["VH"], pixels["VV"] - pixels["VH"])
            scaled = [np.clip((b - low) / (high - low), 0, 1) for b, (low, high) in zip(bands, RANGES, strict=True)]
            return (255 * np.stack(scaled, axis=-1)).astype(np.uint8)
    first = next(iter(pixels.values()))
    shown = [plane.astype(np.float64) for plane in pixels.values() if plane.shape == first.shape][:3]
    shown = shown if len(shown) == 3 else shown[:1] * 3
    stretched = [(plane - plane.min()) / (np.ptp(plane) or 1) for plane in shown]
    return (255 * np.stack(stretched, axis=-1)).astype(np.uint8)
