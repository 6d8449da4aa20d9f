"""shard_statistics: what all shards together hold: each band's mean and deviation, and the rejected patches."""

import logging
from collections.abc import Sequence
from pathlib import Path

from earthprobe.errors import UserError
from earthprobe.files import parquet, read_metadata, write_csv, write_json
from earthprobe.pixel_sums import PixelSums
from earthprobe.shard import check_band_order

log = logging.getLogger(__name__)

FLAT = 1e-3  # dB: a deviation below this is rounding, not backscatter


def write_statistics(
    index: Path, shards: Sequence[Path], max_rejected: float, output: Path, rejected_output: Path
) -> None:
    """Adds up the shards' sums, and lists every patch that index or shard rejected.

    Args:
        index: ``index.parquet``.
        shards: all shards.
        max_rejected: the largest share of rejected patches to go on with.
        output: JSON: a band, mean and std in dB over the train split, and over all splits; patch counts.
        rejected_output: CSV with ``patch_id``, ``split``, ``step`` and ``reason``.

    Raises:
        UserError: too many patches are rejected, the train split has no pixel, or the bands are swapped.
    """
    source = read_metadata(index)
    with parquet(index) as file:
        indexed = file.metadata.num_rows
    rows = [(*entry[:2], "index", entry[2]) for entry in source["rejected"]]
    sums: dict[str, dict[str, PixelSums]] = {}
    for path in shards:
        metadata = read_metadata(path)
        rows += [(*entry[:2], "shard", entry[2]) for entry in metadata["rejected"]]
        for part, bands in metadata["sums"].items():
            total = sums.setdefault(part, {})
            for band, values in bands.items():
                total[band] = total.get(band, PixelSums()) + PixelSums(**values)

    for patch_id, split, step, reason in sorted(rows):
        log.warning("rejected by %s: %s (%s): %s", step, patch_id, split, reason)
    patches = indexed + len(source["rejected"])
    share = len(rows) / patches
    if share > max_rejected:
        raise UserError(
            f"{len(rows)} of {patches} patches ({share:.1%}) are rejected, more than archive.max_rejected"
            f" ({max_rejected:.1%}) allows; the log lists them, the first is {rows[0][0]}: {rows[0][3]}"
        )
    check_band_order(source["archive"], sums["all"])
    empty = [band for band, total in sums["train"].items() if not total.std > FLAT]
    if empty:
        raise UserError(f"{source['archive']}: the train split's pixels of {empty[0]} do not vary: check the files")
    write_csv(rejected_output, ("patch_id", "split", "step", "reason"), sorted(rows))
    write_json(
        output,
        {
            "archive": source["archive"],
            "patches": patches,
            "rejected": len(rows),
            **{
                part: {band: {"mean": total.mean, "std": total.std} for band, total in bands.items()}
                for part, bands in sums.items()
            },
        },
    )
