"""Compute the metrics of scores, and how sure they are."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.clusters import COLUMNS as CLUSTERED_BY
from earthprobe.evaluation.clusters import clusters
from earthprobe.evaluation.intervals import DRAWS, LEVEL, Evaluated, evaluated
from earthprobe.evaluation.metrics import PER_CLASS, by_class, overall
from earthprobe.storage.files import replacing, write_csv, write_json
from earthprobe.storage.parquet import read_metadata, with_metadata
from earthprobe.storage.scores import Scores, Test, of_test, read_scores

log = logging.getLogger(__name__)

WITH_INTERVALS = ("precision", "recall", "f1", "f2", "ap")
COLUMNS = ("class", "name", *PER_CLASS, "data", "weights")
ENDS = tuple(f"{name}_{end}" for name in WITH_INTERVALS for end in ("low", "high"))


def run(
    *,
    scores: Sequence[Path],
    index: Path,
    threshold: float,
    cluster: str = "auto",
    draws: int = DRAWS,
    seed: int = 0,
    metrics: Sequence[Path],
    per_class: Sequence[Path],
    drawn: Sequence[Path],
) -> None:
    """Writes the metrics of val and test with their intervals, those of each class on test, and those of each draw.

    Args:
        scores: of probes or controls; the other files are in the same order.
        index: ``index.parquet``, for which patches are not independent.
        threshold: a class is predicted where its score is above this, or best where a patch has one class.
        cluster: what intervals draw: ``tile``, ``block``, ``scene``, ``patch``, or ``auto``.
        draws: how often.
        seed: of the draws.
        metrics: JSON: metrics a split, ``intervals`` of test by clusters and ``patch_intervals`` by patches, and all
            that the scores' metadata says of features and probe; of folds metrics are means over the repeats.
        per_class: CSV, one row a class, test split, with intervals; of folds, over all repeats.
        drawn: the metrics of each draw, for comparisons.
    """
    rows = pl.read_parquet(index, columns=[name for name in pl.read_parquet_schema(index) if name in CLUSTERED_BY])
    for paths in zip(scores, metrics, per_class, drawn, strict=True):
        _evaluate(paths[0], rows, threshold, cluster, draws, seed, paths[1:])


def _evaluate(
    path: Path, rows: pl.DataFrame, threshold: float, cluster: str, draws: int, seed: int, outputs: Sequence[Path]
) -> None:
    scored, source = read_scores(path), read_metadata(path)
    task, test = source["task"], of_test(scored)
    here = pl.DataFrame({"patch_id": test.ids}).join(rows, on="patch_id", how="left", maintain_order="left")
    kind, names = clusters(here, cluster)
    sure = evaluated(test.targets, test.scores, names, threshold, task, draws, seed)
    # Of patches that are drawn one by one, as most do, for comparison.
    single = sure if kind == "patch" else evaluated(test.targets, test.scores, test.ids, threshold, task, draws, seed)
    result = _metrics(scored, test, threshold, task)
    log.info("test: %s", result["test"])
    by = {"level": LEVEL, "draws": draws, "seed": seed, "cluster": kind, "clusters": sure.clusters}
    said = {
        "intervals": {name: list(ends) for name, ends in sure.overall.items()},
        "patch_intervals": {name: list(ends) for name, ends in single.overall.items()},
        "intervals_by": {**by, "repeats": len(test.scores)},
    }
    metrics, per_class, drawn = outputs
    write_json(metrics, {**result, **said, "threshold": threshold, **source})
    _write_classes(per_class, scored, sure, threshold, source)
    _write_draws(drawn, sure, {**by, "test": patches_of(test.ids), "task": task})


def patches_of(ids: Sequence[str]) -> str:
    """A fingerprint of patches in their order: draws of the same can be compared one by one."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _metrics(scored: Scores, test: Test, threshold: float, task: str) -> dict[str, Any]:
    """Metrics a split; of folds, the means over the repeats."""
    if scored.repeats is None:
        splits = np.array(scored.splits)
        return {
            split: overall(scored.targets[splits == split], scored.scores[splits == split], threshold, task)
            for split in ("test", "val")
        }
    each = [overall(test.targets, scores, threshold, task) for scores in test.scores]
    means = {key: type(each[0][key])(np.mean([one[key] for one in each])) for key in each[0]}
    return {"test": means, "repeats": each}


def _write_classes(path: Path, scored: Scores, sure: Evaluated, threshold: float, source: Mapping[str, Any]) -> None:
    test = np.array(scored.splits) == "test"
    figures = by_class(scored.targets[test], scored.scores[test], threshold, source["task"])
    origin = (describe_data(source["features"]), describe_weights(source["features"]))
    ends = [[end for name in WITH_INTERVALS for end in found[name]] for found in sure.by_class]
    rows = zip(source["classes"], figures, ends, strict=True)
    write_csv(path, COLUMNS + ENDS, [(i, name, *row, *origin, *ends) for i, (name, row, ends) in enumerate(rows)])


def _write_draws(path: Path, sure: Evaluated, metadata: Mapping[str, Any]) -> None:
    with replacing(path) as part:
        table = pa.table({name: pa.array(values) for name, values in sure.draws.items()})
        said = {**metadata, "left_out": {name: values.tolist() for name, values in sure.left_out.items()}}
        pq.write_table(table.cast(with_metadata(table.schema, said)), part, compression="zstd")
