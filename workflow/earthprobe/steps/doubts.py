"""List for each class the patches whose label the probes doubt most."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from earthprobe.describe import describe_data
from earthprobe.evaluation.best import best_on_val
from earthprobe.evaluation.doubts import doubts
from earthprobe.storage.files import read_json, write_csv
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.scores import of_test, read_scores

log = logging.getLogger(__name__)

EACH = 25
"""Patches of each class that are listed as having it, and as lacking it."""

EVEN = 0.5
"""The quality below which a label is listed though no feature set would take it for wrong."""

COLUMNS = ("class", "name", "label", "rank", "patch_id", "country", "date", "quality", "doubted_by", "scored_by")


def run(
    *,
    index: Path,
    metrics: Sequence[Path],
    scores: Sequence[Path],
    features: Sequence[str],
    csv: Path,
) -> None:
    """Writes the labels of test patches that are doubted most, of each feature set by its probe that val likes best.

    Args:
        index: ``index.parquet``.
        metrics: a ``metrics.json`` a row of the table.
        scores: the ``scores.parquet`` of each.
        features: the feature set of each.
        csv: a row a label, classes in their order, first patches that ``has`` it, then such that ``lacks`` it, by
            rising ``quality``: the mean over feature sets of the probability that the label is right. Of the feature
            sets that scored the patch (``scored_by``), ``doubted_by`` so many would take the label for wrong;
            ``score_<features>`` is the class's score by each. What nothing speaks against is left out.
    """
    best = best_on_val(features, [read_json(path) for path in metrics])
    chosen = {features[row]: scores[row] for row in best}
    source = read_metadata(next(iter(chosen.values())))
    classes, single = source["classes"], source["task"] == "single"
    tests = {name: of_test(read_scores(path)) for name, path in chosen.items()}
    ids = sorted(set().union(*(test.ids for test in tests.values())))
    place = {patch_id: row for row, patch_id in enumerate(ids)}
    shape = (len(tests), len(ids), len(classes))
    values = np.full(shape, np.nan, np.float32)
    quality, doubted = np.full(shape, np.nan, np.float32), np.zeros(shape, bool)
    targets = np.zeros(shape[1:], bool)
    for number, test in enumerate(tests.values()):
        here = [place[patch_id] for patch_id in test.ids]
        values[number, here], targets[here] = test.scores.mean(axis=0), test.targets
        quality[number, here], doubted[number, here] = doubts(test.targets, values[number, here])
    scored = np.isfinite(values[:, :, 0]).sum(axis=0)
    mean = np.nanmean(quality, axis=0)
    where = pl.DataFrame({"patch_id": ids}).join(
        pl.read_parquet(index, columns=["patch_id", "country", "date"]),
        on="patch_id",
        how="left",
        maintain_order="left",
    )
    data = describe_data(source["features"])
    lines = []
    for number, name in enumerate(classes):
        # Of one class a patch, that which it lacks is a doubt of the one it has.
        for label, members in (("has", targets[:, number]), ("lacks", ~targets[:, number] & (not single))):
            rows = np.flatnonzero(members & (doubted[:, :, number].any(axis=0) | (mean[:, number] < EVEN)))
            order = rows[np.argsort(mean[rows, number], kind="stable")][:EACH]
            lines += [
                (
                    *(number, name, label, rank, ids[row], where["country"][int(row)], where["date"][int(row)]),
                    f"{mean[row, number]:.4f}",
                    *(int(doubted[:, row, number].sum()), int(scored[row])),
                    *("" if np.isnan(value) else f"{value:.4f}" for value in values[:, row, number]),
                    data,
                )
                for rank, row in enumerate(order.tolist(), start=1)
            ]
    write_csv(csv, (*COLUMNS, *(f"score_{name}" for name in tests), "data"), lines)
    log.info("%d labels of %d test patches, by %d feature sets", len(lines), len(ids), len(tests))
