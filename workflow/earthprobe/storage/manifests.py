"""The manifest of a run, as the step `manifest` writes it."""

from pathlib import Path
from typing import Any

from earthprobe.errors import UserError
from earthprobe.storage.files import read_json

Manifest = dict[str, Any]

HASHED = ("inputs", "index", "weights", "features", "scores", "tables")
"""The parts of a manifest that have hashes."""


def read_manifest(path: Path) -> Manifest:
    """A manifest.

    Raises:
        UserError: it is missing, or is none.
    """
    try:
        value = read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run snakemake first, which writes it beside the tables") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict) or not {"earthprobe", "configuration", *HASHED} <= value.keys():
        raise UserError(f"{path} is no manifest of earthprobe: give the manifest.json that lies beside a run's tables")
    return value
