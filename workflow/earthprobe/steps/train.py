"""Fit a probe on a feature set, and score val and test."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe import registry
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.probes.interface import Data, Fitted, Floats, Part
from earthprobe.storage.embeddings import read_embeddings
from earthprobe.storage.files import replacing
from earthprobe.storage.label_matrix import classes_of, label_matrix
from earthprobe.storage.parquet import check_ids, parquet, read_metadata, with_metadata

log = logging.getLogger(__name__)


def run(
    *,
    probe: str,
    features: Path,
    index: Path,
    label_set: str,
    threads: int = 1,
    scores: Path,
    model: Path,
) -> None:
    """Fits a probe and writes its scores on val and test, and the model.

    Args:
        probe: JSON of the probe: its ``kind``, and its hyper-parameters where they are not the defaults.
        features: the merged embeddings.
        index: ``index.parquet``, for splits and labels.
        label_set: the name of the label set.
        threads: CPU threads.
        scores: columns ``patch_id``, ``split``, ``scores``, ``targets``; val first, each split by ``patch_id``.
        model: the model's file.
    """
    entry = entry_of("probes", probe, "--probe")
    options = {key: value for key, value in entry.items() if key != "kind"}
    fit = registry.load("probes", entry["kind"]).fit
    with replacing(scores) as scores_part, replacing(model) as model_part:
        classes = classes_of(index, label_set)
        data, source = load(features, index, label_set, len(classes))
        log.info("%s, %d classes: %s", entry["kind"], label_set, {s: len(p.ids) for s, p in data.parts.items()})
        fitted: Fitted = fit(data, threads=threads, **options)
        parts = {split: data.parts[split] for split in ("val", "test")}
        scored = fitted.scores
        if any(scored[s].shape != p.targets.shape or not np.isfinite(scored[s]).all() for s, p in parts.items()):
            raise UserError(f"{entry['kind']}: some scores are missing or not finite: try other hyper-parameters")
        values = np.concatenate([fitted.scores[split] for split in parts]).astype(np.float32)
        targets = np.concatenate([part.targets for part in parts.values()])
        ids = [patch_id for part in parts.values() for patch_id in part.ids]
        splits = [split for split, part in parts.items() for _ in part.ids]
        patches = {split: len(part.ids) for split, part in data.parts.items()}
        del data, parts  # a model may be as large as the features: saving it needs their room
        size = len(classes)
        schema = with_metadata(
            pa.schema(
                [
                    ("patch_id", pa.string()),
                    ("split", pa.string()),
                    ("scores", pa.list_(pa.float32(), size)),
                    ("targets", pa.list_(pa.bool_(), size)),
                ]
            ),
            {
                "features": source,
                "label_set": label_set,
                "classes": classes,
                "probe": entry,
                "chosen": fitted.chosen,
                "standardised": "by mean and standard deviation of the train split",
                "fitted_on": "train",
                "patches": patches,
            },
        )
        table = pa.table(
            [
                pa.array(ids, pa.string()),
                pa.array(splits, pa.string()),
                pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), size),
                pa.FixedSizeListArray.from_arrays(pa.array(targets.ravel()), size),
            ],
            schema=schema,
        )
        fitted.save(model_part)
        pq.write_table(table, scores_part, compression="zstd")
        check_ids(scores_part, ids)


def load(features: Path, index: Path, label_set: str, classes: int) -> tuple[Data, dict[str, Any]]:
    """Reads and standardises a feature set with a label set, and returns the features' metadata beside it.

    Raises:
        UserError: the index lacks a patch of the features, or a split is left without one.
    """
    with parquet(features) as file:
        ids = pl.from_arrow(file.read(columns=["patch_id"]))
    labels = f"labels_{label_set}"
    known = pl.read_parquet(index, columns=["patch_id", "split", labels])
    unlabelled = [entry[0] for entry in read_metadata(index)["rejected"]]
    rows = (
        pl.DataFrame(ids)
        .with_row_index("row")
        .filter(~pl.col("patch_id").is_in(unlabelled))
        .join(known, on="patch_id", how="left", maintain_order="left")
    )
    if rows[labels].null_count():
        lacking = rows.filter(pl.col(labels).is_null())["patch_id"][0]
        raise UserError(f"{index} has no {label_set}-class labels of {lacking}: features and index do not match")

    splits = {split: rows.filter(pl.col("split") == split) for split in ("train", "val", "test")}
    for split, here in splits.items():
        if here.is_empty():
            raise UserError(f"{features} has no patch of {split} with labels: rejected.csv says which were left out")
    vectors = read_embeddings(features, [here["row"].to_numpy() for here in splits.values()])
    parts = {
        split: Part(here["patch_id"].to_list(), matrix, label_matrix(here[labels], classes))
        for (split, here), matrix in zip(splits.items(), vectors, strict=True)
    }
    mean, std = moments(parts["train"].features)
    mean32, std32 = mean.astype(np.float32), std.astype(np.float32)
    std32[std32 == 0] = 1.0
    for part in parts.values():
        part.features -= mean32
        part.features /= std32
    return Data(parts, mean32, std32), read_metadata(features)


def moments(features: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each dimension in float64, without a float64 copy of the features."""
    mean = features.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(features), 4096):
        squares += np.square(features[start : start + 4096] - mean).sum(axis=0)
    return mean, np.sqrt(squares / max(len(features), 1))
