"""Add up what all shards hold: each band's mean and deviation, and the unreadable patches."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from earthprobe.archives.interface import SENSORS, absent
from earthprobe.errors import UserError
from earthprobe.sensors import DECIBELS, REFLECTANCE
from earthprobe.storage.band_files import band_files_of
from earthprobe.storage.files import write_csv, write_json
from earthprobe.storage.parquet import parquet, read_metadata
from earthprobe.storage.pixel_sums import PixelSums

log = logging.getLogger(__name__)

FLAT = {DECIBELS: 1e-3, REFLECTANCE: 1e-3}
"""A deviation that is rounding, not backscatter or reflectance; of other units one of a millionth of the mean."""


def run(*, patches: Path, shards: Sequence[Path], max_rejected: float, output: Path, rejected: Path) -> None:
    """Adds up the shards' sums and gathers the patches that they rejected.

    Args:
        patches: ``patches.parquet``.
        shards: all shards of a sensor.
        max_rejected: the largest share of unreadable patches to go on with; patches without Sentinel-2 do not
            count.
        output: JSON: the sensor; each band's mean and std over the train split and over all, in dB or reflectance
            times 10,000, at the resolution as published; the number of patches, and of those that were rejected; the
            patches with values that no sensor gives.
        rejected: CSV: the patches of which no pixels can be read, with split and reason.

    Raises:
        UserError: too many patches are rejected, the train split's pixels do not vary, or bands are swapped.
    """
    source = read_metadata(patches)
    with parquet(patches) as file:
        count = file.metadata.num_rows
    left_out: list[tuple[str, str, str]] = []
    mended: list[str] = []
    darker: list[str] = []
    sums: dict[str, dict[str, PixelSums]] = {}
    odd: list[tuple[str, str]] = []
    sensor = read_metadata(shards[0])["sensor"]
    nothing, bands_here = absent(sensor), band_files_of(source, sensor)
    radar = "VV" in bands_here and "VH" in bands_here and bands_here["VV"].band.unit == DECIBELS
    for path in shards:
        metadata = read_metadata(path)
        for entry in metadata["rejected"]:
            log.warning("rejected %s (%s): %s", *entry)
            left_out.append(tuple(entry))
        odd += [tuple(entry) for entry in metadata["odd"]]
        if any(reason != nothing for _, _, reason in metadata["rejected"]):
            mended.append(str(path))
        here = {name: {b: PixelSums(**s) for b, s in bands.items()} for name, bands in metadata["sums"].items()}
        if radar and _swapped(here["usual"]):
            darker.append(str(path))
        for name, bands in here.items():
            for band, values in bands.items():
                total = sums.setdefault(name, {})
                total[band] = total.get(band, PixelSums()) + values

    damaged = [entry for entry in left_out if entry[2] != nothing]
    if len(damaged) > max_rejected * count:
        raise UserError(
            f"{len(damaged)} of {count} patches ({len(damaged) / count:.1%}) are rejected, more than"
            f" archive.max_rejected ({max_rejected:.1%}) allows; the log lists them, the first is {damaged[0][0]}:"
            f" {damaged[0][2]}; after fixing them, delete {' '.join(mended[:3])}{' ...' if mended[3:] else ''}"
            " and run again"
        )
    if count and len(left_out) - len(damaged) == count:
        row = pl.scan_parquet(patches).head(1).collect().row(0, named=True)
        sought = next(iter(bands_here.values())).path.format_map(row)
        raise UserError(
            f"{source['archive']}: no patch has its {SENSORS.get(sensor, sensor)} patch in the archive: the first is"
            f" sought as {sought}: is it the archive that belongs to these lists?"
        )
    usual = sums.pop("usual")  # fill values alone can darken a band
    if radar and _swapped(usual):
        vv, vh = usual["VV"], usual["VH"]
        raise UserError(
            f"{source['archive']}: VV is darker than VH ({vv.mean:.1f} against {vh.mean:.1f} dB), in {darker[0]}"
            " among others, so the two bands are swapped: check how the archive was made"
        )
    if not any(total.count for total in sums["train"].values()):
        lacking = ", ".join(list(bands_here)[:3])
        raise UserError(
            f"{source['archive']}: no patch of the train split has the bands {lacking}, though"
            f" {count - len(left_out)} patches of val and test have: take feature sets of the other sensor's bands"
        )
    flat = [
        band
        for band, total in sums["train"].items()
        if not total.std > FLAT.get(bands_here[band].band.unit, 1e-6 * abs(total.mean))
    ]
    if flat:
        raise UserError(f"{source['archive']}: the train split's pixels of {flat[0]} do not vary: check the files")
    write_csv(rejected, ("patch_id", "split", "reason"), sorted(left_out))
    write_json(
        output,
        {
            "archive": source["archive"],
            "simulated": source["simulated"],
            "sensor": sensor,
            "bands": {
                name: {"size": band.size, "unit": band.unit, "wavelength": band.wavelength}
                for name, (band, _, _) in bands_here.items()
            },
            "patches": count,
            **{
                name: {band: {"mean": total.mean, "std": total.std} for band, total in bands.items()}
                for name, bands in sums.items()
            },
            "rejected": len(left_out),
            "odd": sorted(odd),
        },
    )


def _swapped(sums: Mapping[str, PixelSums]) -> bool:
    return "VV" in sums and sums["VV"].mean < sums["VH"].mean
