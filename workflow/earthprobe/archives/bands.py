"""The bands of an archive, by its configuration; importing this costs nothing."""

from collections.abc import Mapping
from typing import Any

from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.sensors import BANDS, KNOWN, Band
from earthprobe.storage.band_files import BandFile, columns_in

OTHER = "other"
"""The sensor of bands that are none of Sentinel-1's or Sentinel-2's."""


def bands_of_archive(archive: Mapping[str, Any]) -> dict[str, Band]:
    """What is known of each band of an archive before a file of it is read.

    Args:
        archive: ``archive`` of the configuration, with all defaults.

    Raises:
        UserError: of a band of a table's nothing is known, or its path cannot be.
    """
    if archive["kind"] == "table":
        return {name: file.band for name, file in band_files(archive).items()}
    sensors = registry.kind("archives", archive["kind"]).facts["folders"]
    return {name: band for name, band in BANDS.items() if band.sensor in sensors}


def band_files(archive: Mapping[str, Any]) -> dict[str, BandFile]:
    """Which file holds which band of a table's archive; sizes and types are not known yet.

    Raises:
        UserError: of a band nothing is known, or its path cannot be.
    """
    found = {}
    for name, given in archive["bands"].items():
        entry: Mapping[str, Any] = {"path": given} if isinstance(given, str) else given
        known = KNOWN.get(name)
        unit = _unit(archive["units"].get(name, known.unit if known else ""))
        if not unit:
            raise UserError(f"config: archive.units: {name} is no band of Sentinel-1 or Sentinel-2: give its unit")
        try:
            columns_in([entry["path"]])
        except ValueError as error:
            raise UserError(f"config: archive.bands.{name}: {entry['path']}: {error}") from error
        if entry["path"].startswith("/") or ".." in entry["path"].split("/"):
            raise UserError(f"config: archive.bands.{name}: {entry['path']} leads out of archive.root")
        found[name] = BandFile(
            Band(
                entry.get("sensor", known.sensor if known else OTHER),
                0,
                "",
                entry.get("wavelength", known.wavelength if known else None),
                unit,
            ),
            entry["path"],
            entry.get("band", 1),
        )
    for name in archive["units"]:
        if name not in found:
            raise UserError(f"config: archive.units: {name} is none of the bands {', '.join(found)}")
    return found


def _unit(text: str) -> str:
    """A unit as models know it: ``reflectance x 10000`` is ``reflectance x 10,000``."""
    return text.replace("10000", "10,000")
