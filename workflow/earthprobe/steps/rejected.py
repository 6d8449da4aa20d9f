"""List every patch that was left out, and why."""

from collections.abc import Sequence
from pathlib import Path

from earthprobe.storage.files import read_csv, write_csv
from earthprobe.storage.parquet import read_metadata


def run(*, index: Path, pixels: Sequence[Path] = (), output: Path) -> None:
    """Writes ``rejected.csv`` with ``patch_id``, ``split``, ``step`` and ``reason``.

    Args:
        index: ``index.parquet``, whose metadata name the patches without readable labels.
        pixels: for each sensor, ``rejected/<sensor>.csv``, which names those without readable pixels.
        output: the CSV.
    """
    rows = [(patch_id, split, "index", reason) for patch_id, split, reason in read_metadata(index)["rejected"]]
    for path in pixels:
        rows += [(row["patch_id"], row["split"], f"shard {path.stem}", row["reason"]) for row in read_csv(path)]
    write_csv(output, ("patch_id", "split", "step", "reason"), sorted(rows))
