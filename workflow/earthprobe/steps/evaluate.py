"""Compute the metrics of a probe's scores."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.intervals import DRAWS, LEVEL, intervals
from earthprobe.evaluation.metrics import PER_CLASS, by_class, overall
from earthprobe.storage.files import write_csv, write_json
from earthprobe.storage.parquet import parquet, read_metadata

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

COLUMNS = ("class", "name", *PER_CLASS, "data", "weights")


def run(*, scores: Path, threshold: float, metrics: Path, per_class: Path) -> None:
    """Writes the metrics of val and test, and those of each class on test.

    Args:
        scores: a probe's scores.
        threshold: a class is predicted where its score is above this, or best where a patch has one class.
        metrics: JSON: metrics a split, and all that the scores' metadata says of features and probe; of folds the means
            over the repeats, and ``intervals`` by resampling groups of patches and repeats.
        per_class: CSV, one row a class, test split; of folds, over all repeats.
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
    task = source["task"]
    if "repeat" in table.column_names:
        result = _of_folds(table, values, targets, threshold, task)
    else:
        result = {
            split: overall(targets[splits == split], values[splits == split], threshold, task)
            for split in ("test", "val")
        }
    log.info("test: %s", result["test"])
    write_json(metrics, {**result, "threshold": threshold, **source})
    test = splits == "test"
    rows = by_class(targets[test], values[test], threshold, task)
    origin = (describe_data(source["features"]), describe_weights(source["features"]))
    named = enumerate(zip(classes, rows, strict=True))
    write_csv(per_class, COLUMNS, [(i, name, *row, *origin) for i, (name, row) in named])


def _of_folds(table: pa.Table, values: Floats, targets: Bools, threshold: float, task: str) -> dict[str, Any]:
    """The means of metrics over repeats, and how sure they are."""
    repeats = table["repeat"].to_numpy()
    count = int(repeats.max()) + 1
    each = [overall(targets[repeats == r], values[repeats == r], threshold, task) for r in range(count)]
    first = repeats == 0
    ids, groups = (np.array(table[name].to_pylist(), dtype=object)[first] for name in ("patch_id", "group"))
    # A patch without a group stands for itself.
    members = [patch if group is None else group for patch, group in zip(ids, groups, strict=True)]
    found = intervals(
        targets[first], values.reshape(count, -1, values.shape[1]), [str(m) for m in members], threshold, task
    )
    clusters = len(set(members))
    return {
        "test": {key: type(each[0][key])(np.mean([one[key] for one in each])) for key in each[0]},
        "repeats": each,
        "intervals": {name: list(found[name]) for name in found},
        "intervals_by": {"level": LEVEL, "draws": DRAWS, "clusters": clusters, "repeats": count},
    }
