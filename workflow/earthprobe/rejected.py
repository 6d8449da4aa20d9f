"""rejected: every patch that was left out, and why."""

import json
from collections.abc import Sequence
from pathlib import Path

from earthprobe.files import read_metadata, write_csv


def write_rejected(index: Path, statistics: Sequence[Path], output: Path) -> None:
    """Writes ``rejected.csv`` with ``patch_id``, ``split``, ``step`` and ``reason``.

    Args:
        index: ``index.parquet``, whose metadata name the patches without readable labels.
        statistics: ``band_statistics.json`` of each sensor, which names those without readable pixels.
        output: the CSV.
    """
    rows = [(*entry[:2], "index", entry[2]) for entry in read_metadata(index)["rejected"]]
    for path in statistics:
        figures = json.loads(path.read_text(encoding="utf-8"))
        step = "shard" if figures["sensor"] == "s1" else "shard_s2"
        rows += [(patch_id, split, step, reason) for patch_id, split, reason in figures["rejected"]]
    write_csv(output, ("patch_id", "split", "step", "reason"), sorted(rows))
