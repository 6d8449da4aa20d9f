"""Compute the metrics of a probe's scores."""

import logging
from pathlib import Path
from typing import Any

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.metrics import PER_CLASS, by_class, overall
from earthprobe.storage.files import write_csv, write_json
from earthprobe.storage.parquet import parquet, read_metadata

log = logging.getLogger(__name__)

COLUMNS = ("class", "name", *PER_CLASS, "data", "weights")


def run(*, scores: Path, threshold: float, metrics: Path, per_class: Path) -> None:
    """Writes the metrics of val and test, and those of each class on test.

    Args:
        scores: a probe's scores.
        threshold: a class is predicted where its score is above this.
        metrics: JSON: metrics a split, and all that the scores' metadata says of features and probe.
        per_class: CSV, one row a class, test split.
    """
    with parquet(scores) as file:
        table = file.read()
    source = read_metadata(scores)
    classes = source["classes"]
    splits = table["split"].to_numpy(zero_copy_only=False)
    values, targets = (
        table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, len(classes))
        for name in ("scores", "targets")
    )
    result: dict[str, Any] = {
        split: overall(targets[splits == split], values[splits == split], threshold) for split in ("test", "val")
    }
    log.info("test: %s", result["test"])
    write_json(metrics, {**result, "threshold": threshold, **source})
    test = splits == "test"
    rows = by_class(targets[test], values[test], threshold)
    origin = (describe_data(source["features"]), describe_weights(source["features"]))
    named = enumerate(zip(classes, rows, strict=True))
    write_csv(per_class, COLUMNS, [(i, name, *row, *origin) for i, (name, row) in named])
