"""Compute the metrics of scores, and how sure they are."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.describe import describe_data, describe_weights
from earthprobe.errors import UserError
from earthprobe.evaluation.calibration import Bin, reliability
from earthprobe.evaluation.clusters import COLUMNS as CLUSTERED_BY
from earthprobe.evaluation.clusters import NAMES, are_known, clusters
from earthprobe.evaluation.intervals import DRAWS, LEVEL, Evaluated, evaluated
from earthprobe.evaluation.metrics import BATCHED, METRICS_OF, PER_CLASS, by_class, map_micro_of_batches, overall
from earthprobe.evaluation.runs import RULES, Runs, runs_of
from earthprobe.storage.files import replacing, write_csv, write_json
from earthprobe.storage.parquet import read_metadata, with_metadata
from earthprobe.storage.scores import Scores, of_test, read_scores

log = logging.getLogger(__name__)

WITH_INTERVALS = ("precision", "recall", "f1", "f2", "ap")
COLUMNS = ("class", "name", *PER_CLASS, "data", "weights")
ENDS = tuple(f"{name}_{end}" for name in WITH_INTERVALS for end in ("low", "high"))
TUNED = tuple(f"{name}_{rule}" for rule in RULES[1:] for name in ("threshold", "precision", "recall", "f1", "f2"))
CALIBRATED = ("ece", "ece_tempered")

PROMISES = ("scores", *Bin._fields, "data", "weights")
"""The columns of the file of calibration: ``scores`` says whether they are tempered."""


class Outputs(NamedTuple):
    """The files of a row of a table."""

    metrics: Path
    per_class: Path
    drawn: Path
    calibration: Path


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
    calibration: Sequence[Path],
) -> None:
    """Writes the metrics of val and test with their intervals, those of each class on test, and those of each draw.

    Args:
        scores: of probes or controls; the other files are in the same order. Of several seeds those of a row follow
            each other, equally many of each.
        index: ``index.parquet``, for which patches are not independent.
        threshold: a class is predicted where its score is above this, or best where a patch has one class.
        cluster: what intervals draw: ``tile``, ``block``, ``scene``, ``patch``, or ``auto``.
        draws: how often.
        seed: of the draws.
        metrics: JSON: metrics a split, ``intervals`` of test by clusters and ``patch_intervals`` by patches, what was
            tuned on val, and all that the scores' metadata says of features and probe; of folds, draws of train
            patches and seeds metrics are means.
        per_class: CSV, one row a class, test split, with intervals; of seeds counts are of the first, of folds over
            all repeats.
        drawn: the metrics of each draw, for comparisons.
        calibration: CSV of what scores promise, and what is true.

    Raises:
        UserError: seeds have other test patches than each other, or all of these lie in one cluster.
    """
    if not metrics or len(scores) % len(metrics):
        raise UserError(f"--scores: {len(scores)} files for {len(metrics)} of --metrics: give each row as many seeds")
    rows = pl.read_parquet(index, columns=[name for name in pl.read_parquet_schema(index) if name in CLUSTERED_BY])
    seeds = len(scores) // len(metrics)
    for number, paths in enumerate(zip(metrics, per_class, drawn, calibration, strict=True)):
        own = scores[number * seeds : (number + 1) * seeds]
        _evaluate(own, rows, threshold, cluster, draws, seed, Outputs(*paths))


def _evaluate(
    paths: Sequence[Path], rows: pl.DataFrame, threshold: float, cluster: str, draws: int, seed: int, outputs: Outputs
) -> None:
    scored, source = [read_scores(path) for path in paths], read_metadata(paths[0])
    tests = [of_test(one) for one in scored]
    for path, one in zip(paths, tests, strict=True):
        if one.ids != tests[0].ids:
            raise UserError(f"{path} has other test patches than {paths[0]}: delete both, and run again")
    task, row = source["task"], runs_of(tests, threshold, source["task"])
    here = pl.DataFrame({"patch_id": row.ids}).join(rows, on="patch_id", how="left", maintain_order="left")
    kind, names = clusters(here, cluster)
    if not are_known(here, kind):
        raise UserError(
            f"config: intervals.cluster: no test patch has a {kind}: take auto or another of {', '.join(NAMES)}"
        )
    if kind != "patch" and len(set(names)) == 1:
        raise UserError(
            f"config: intervals.cluster: all test patches are of one {kind}, {names[0]}, which says nothing of how sure"
            f" figures are: take auto or another of {', '.join(NAMES)}"
        )
    sure = evaluated(row.targets, row.runs, names, task, draws, seed)
    # Of patches that are drawn one by one, as most studies do, for comparison.
    single = (
        sure if kind == "patch" else evaluated(row.targets, row.runs, row.ids, task, draws, seed, calibration=False)
    )
    result = _metrics(scored, row, sure, threshold, task, source.get("probe", {}).get("protocol"))
    log.info("test: %s", result["test"])
    by = {"level": LEVEL, "draws": draws, "seed": seed, "cluster": kind, "clusters": sure.clusters}
    tuned = _tuned(row)
    said = {
        "intervals": {name: list(ends) for name, ends in sure.overall.items()},
        "patch_intervals": {name: list(ends) for name, ends in single.overall.items()},
        "intervals_by": {**by, "repeats": len(row.runs[0])},
        "tuned": tuned,
    }
    write_json(outputs.metrics, {**result, **said, "threshold": threshold, **source})
    _write_classes(outputs.per_class, scored, sure, tuned, threshold, source)
    _write_draws(outputs.drawn, sure, {**by, "test": patches_of(row.ids), "task": task})
    _write_calibration(outputs.calibration, row, source)


def patches_of(ids: Sequence[str]) -> str:
    """A fingerprint of patches in their order: draws of the same can be compared one by one."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _metrics(
    scored: Sequence[Scores], row: Runs, sure: Evaluated, threshold: float, task: str, protocol: str | None
) -> dict[str, Any]:
    """Metrics a split: of repeats and seeds means, and those of each."""
    every = row.every
    each = [
        {**overall(row.targets, run.scores, threshold, task), **_without(found, METRICS_OF[task])}
        for run, found in zip(every, sure.each, strict=True)
    ]
    if protocol == "copernicus-bench" and task != "single":
        each = [
            {**one, BATCHED: map_micro_of_batches(row.targets, run.scores)}
            for one, run in zip(each, every, strict=True)
        ]
    result: dict[str, Any] = {"test": _means(each)}
    vals = [(one, np.array(one.splits) == "val") for one in scored]
    result["val"] = _means([overall(one.targets[val], one.scores[val], threshold, task) for one, val in vals])
    if len(row.runs[0]) > 1:
        result["repeats"] = each
    if len(row.runs) > 1:
        repeats = len(row.runs[0])
        of_seeds = [_means(each[start : start + repeats]) for start in range(0, len(each), repeats)]
        deviations = {name: float(np.std([one[name] for one in of_seeds], ddof=1)) for name in of_seeds[0]}
        result["seeds"] = {"count": len(row.runs), "deviation": deviations, "each": of_seeds}
    return result


def _without(found: Mapping[str, float], known: Sequence[Any]) -> dict[str, float]:
    names = {metric.name for metric in known}
    return {name: value for name, value in found.items() if name not in names}


def _means(each: Sequence[Mapping[str, float | int]]) -> dict[str, float | int]:
    if len(each) == 1:
        return dict(each[0])
    return {key: type(each[0][key])(np.mean([one[key] for one in each])) for key in each[0]}


def _tuned(row: Runs) -> dict[str, Any]:
    """The means over fits of what val gave."""
    temperatures = [value for run in row.every for value in run.temperatures]
    means = {rule: np.mean([run.thresholds[rule].mean(axis=0) for run in row.every], axis=0) for rule in RULES[1:]}
    return {
        "temperature": float(np.exp(np.mean(np.log(temperatures)))),
        "threshold_global": float(means["global"][0]),
        "thresholds_per_class": means["per_class"].tolist(),
        "fits": len(temperatures),
    }


def _write_classes(
    path: Path,
    scored: Sequence[Scores],
    sure: Evaluated,
    tuned: Mapping[str, Any],
    threshold: float,
    source: Mapping[str, Any],
) -> None:
    first = scored[0]
    task, found = source["task"], sure.values_by_class
    test = np.array(first.splits) == "test"
    figures = by_class(first.targets[test], first.scores[test], threshold, task)
    if len(scored) > 1:  # counts of one seed, figures of all
        names = [name for name in PER_CLASS if name in found]
        figures = [
            tuple(float(found[name][i]) if name in names else value for name, value in zip(PER_CLASS, one, strict=True))
            for i, one in enumerate(figures)
        ]
    more = [name for name in (*TUNED, *CALIBRATED) if task != "single" or name in CALIBRATED]
    of_rules = {
        "threshold_global": [tuned["threshold_global"]] * len(figures),
        "threshold_per_class": tuned["thresholds_per_class"],
    }
    columns = [of_rules[name] if name in of_rules else found[name].tolist() for name in more]
    origin = (describe_data(source["features"]), describe_weights(source["features"]))
    ends = [[end for name in WITH_INTERVALS for end in intervals[name]] for intervals in sure.by_class]
    rows = [
        (i, name, *figures[i], *origin, *ends[i], *(column[i] for column in columns))
        for i, name in enumerate(source["classes"])
    ]
    write_csv(path, (*COLUMNS, *ENDS, *more), rows)


def _write_draws(path: Path, sure: Evaluated, metadata: Mapping[str, Any]) -> None:
    with replacing(path) as part:
        table = pa.table({name: pa.array(values) for name, values in sure.draws.items()})
        said = {**metadata, "left_out": {name: values.tolist() for name, values in sure.left_out.items()}}
        pq.write_table(table.cast(with_metadata(table.schema, said)), part, compression="zstd")


def _write_calibration(path: Path, row: Runs, source: Mapping[str, Any]) -> None:
    origin = (describe_data(source["features"]), describe_weights(source["features"]))
    targets = np.concatenate([row.targets] * len(row.every))
    lines = []
    for name, scores in (
        ("plain", [run.scores for run in row.every]),
        ("tempered", [run.tempered for run in row.every]),
    ):
        lines += [(name, *one, *origin) for one in reliability(targets, np.concatenate(scores))]
    write_csv(path, PROMISES, lines)
