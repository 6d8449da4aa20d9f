"""Which options of a feature set are its kind's own."""

from collections.abc import Mapping
from typing import Any

from earthprobe.models.protocols import PROTOCOLS

OF_EVERY_MODEL = {
    "kind", "bands", "weights", "normalization", "image_size", "protocol", "precision", "pca", "store", "vary", "seeds",
}  # fmt: skip
"""Options that are the steps' own business, and no keywords of a kind."""


def options_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are the kind's own."""
    options = {key: value for key, value in entry.items() if key not in OF_EVERY_MODEL}
    protocol = PROTOCOLS.get(entry.get("protocol") or "")
    if protocol and protocol.wavelengths and entry["kind"] == "dofa":
        options["wavelengths"] = [protocol.wavelengths[band] for band in entry["bands"]]
    return options
