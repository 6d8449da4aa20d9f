"""How data and weights are named to a reader: what is simulated or untrained must not pass for more."""

from collections.abc import Mapping
from typing import Any


def describe_data(features: Mapping[str, Any]) -> str:
    """The archive behind a feature set, by the metadata of its embeddings."""
    if features["simulated"]:
        return "simulated archive" + ("" if features["archive"] == "simulated" else f" {features['archive']}")
    return f"archive {features['archive']}"


RADAR = 3.75
"""The wavelength that DOFA takes for radar where none is given."""


def summed_bands(features: Mapping[str, Any]) -> list[list[str]]:
    """The bands of which DOFA sees the sum alone: its generator gives bands of one wavelength one kernel.

    Args:
        features: the metadata of embeddings, or an entry of a configuration.
    """
    if features.get("kind") != "dofa" or features.get("combine", "together") == "concat":
        return []
    waves = features.get("wavelengths") or [RADAR if band in ("VV", "VH") else band for band in features["bands"]]
    of_wave: dict[Any, list[str]] = {}
    for band, wave in zip(features["bands"], waves, strict=True):
        of_wave.setdefault(wave, []).append(band)
    return [bands for bands in of_wave.values() if len(bands) > 1]


def describe_weights(features: Mapping[str, Any]) -> str:
    """The weights behind a feature set, by the metadata of its embeddings."""
    weights: str = features["weights"]
    if not weights:
        return "no weights"
    if weights.startswith("random:"):
        return f"random weights (seed {weights.removeprefix('random:')})"
    return weights
