"""rejected: every patch that was left out, and why."""

import json
from pathlib import Path

from earthprobe.files import read_metadata, write_csv


def write_rejected(index: Path, statistics: Path, output: Path) -> None:
    """Writes ``rejected.csv`` with ``patch_id``, ``split``, ``step`` and ``reason``.

    Args:
        index: ``index.parquet``, whose metadata name the patches without readable labels.
        statistics: ``band_statistics.json``, which names those without readable pixels.
        output: the CSV.
    """
    pixels = json.loads(statistics.read_text(encoding="utf-8"))["rejected"]
    rows = [(*entry[:2], "index", entry[2]) for entry in read_metadata(index)["rejected"]]
    rows += [(*entry[:2], "shard", entry[2]) for entry in pixels]
    write_csv(output, ("patch_id", "split", "step", "reason"), sorted(rows))
