"""How data and weights are named to a reader: what is simulated or untrained must not pass for more."""

from collections.abc import Mapping
from typing import Any


def describe_data(features: Mapping[str, Any]) -> str:
    """The archive behind a feature set, by the metadata of its embeddings."""
    if features["simulated"]:
        return "simulated archive" + ("" if features["archive"] == "simulated" else f" {features['archive']}")
    return f"archive {features['archive']}"


def describe_weights(features: Mapping[str, Any]) -> str:
    """The weights behind a feature set, by the metadata of its embeddings."""
    weights: str = features["weights"]
    if not weights:
        return "no weights"
    if weights.startswith("random:"):
        return f"random weights (seed {weights.removeprefix('random:')})"
    return weights
