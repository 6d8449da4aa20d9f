"""How data and weights are named to a reader: what is simulated or untrained must not pass for more."""

from collections.abc import Mapping
from typing import Any


def describe_data(features: Mapping[str, Any]) -> str:
    """The archive behind a feature set, by the metadata of its embeddings."""
    if features["simulated"]:
        return "simulated archive" + ("" if features["archive"] == "simulated" else f" {features['archive']}")
    return f"archive {features['archive']}"


UNTRAINED = "random weights (seed "
"""How random weights are described; their seed follows."""

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
        return f"{UNTRAINED}{weights.removeprefix('random:')})"
    return weights


def is_random(described: str) -> bool:
    """Whether weights were never trained, by what :func:`describe_weights` says; a file may be called random, too."""
    return described.startswith(UNTRAINED)


def describe_origin(source: Mapping[str, Any]) -> str:
    """What made a feature set, by the metadata of its embeddings: how to get its figures again."""
    version = f"earthprobe {source['earthprobe_version']}"
    if not source["bands"]:
        return f"{source['source'] if 'source' in source else source['kind']}, no pixels; {version}"
    return (
        f"{_model(source)}, bands {' '.join(source['bands'])}{_wavelengths(source)},"
        f" {source['precision']} on {source['device']}; {version},"
        f" torch {source['torch_version']}, torchgeo {source['torchgeo_version']}"
    )


def _model(source: Mapping[str, Any]) -> str:
    """The model's name, with its kind where that does not say it already (`galileo nano`)."""
    kind, model = source.get("kind", ""), source["model"]
    return model if model and str(kind) in model else " ".join(filter(None, (kind, model)))


def _wavelengths(source: Mapping[str, Any]) -> str:
    return f", wavelengths {' '.join(map(str, source['wavelengths']))}" if "wavelengths" in source else ""
