"""train: what every probe shares: reading features and labels, standardising, writing scores."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.embeddings import read_embeddings
from earthprobe.errors import UserError
from earthprobe.files import check_ids, parquet, read_metadata, replacing, with_metadata
from earthprobe.label_matrix import label_matrix

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass
class Part:
    """The patches of one split.

    Attributes:
        ids: the patch ids.
        features: standardised embeddings, shape (patches, dimensions).
        targets: which classes a patch has, shape (patches, classes).
    """

    ids: list[str]
    features: Floats
    targets: Bools


@dataclass
class Data:
    """A feature set and a label set, split.

    Attributes:
        parts: train, val and test.
        mean: the mean of each dimension over train, which was subtracted.
        std: its standard deviation, by which was divided (1 where a dimension does not vary).
    """

    parts: dict[str, Part]
    mean: Floats
    std: Floats


@dataclass
class Fitted:
    """What a probe returns.

    Attributes:
        scores: for val and test, a probability a class, shape (patches, classes).
        chosen: what was chosen on val, or observed in fitting, for ``metrics.json``.
        save: writes the model under a given path, in a format that runs no code on loading.
    """

    scores: dict[str, Floats]
    chosen: dict[str, Any]
    save: Callable[[Path], None]


Fit = Callable[[Data, Mapping[str, Any], int], Fitted]
"""Fits a probe: data, hyper-parameters and the number of threads in, :class:`Fitted` out."""


def train(
    fit: Fit,
    features: Path,
    index: Path,
    label_set: int,
    probe: Mapping[str, Any],
    threads: int,
    scores: Path,
    model: Path,
) -> None:
    """Fits a probe and writes its scores on val and test, and the model.

    Args:
        fit: the probe.
        features: the merged embeddings.
        index: ``index.parquet``, for splits and labels.
        label_set: 19 or 43.
        probe: the probe's hyper-parameters, its ``kind`` among them.
        threads: CPU threads.
        scores: columns ``patch_id``, ``split``, ``scores``, ``targets``; val first, each split by ``patch_id``.
        model: the model's file.
    """
    with replacing(scores) as scores_part, replacing(model) as model_part:
        classes = read_metadata(index)["classes"][str(label_set)]
        data, source = load(features, index, label_set, len(classes))
        log.info("%s, %d classes: %s", probe["kind"], label_set, {s: len(p.ids) for s, p in data.parts.items()})
        fitted = fit(data, probe, threads)
        parts = {split: data.parts[split] for split in ("val", "test")}
        values = np.concatenate([fitted.scores[split] for split in parts]).astype(np.float32)
        targets = np.concatenate([part.targets for part in parts.values()])
        if values.shape != targets.shape or not np.isfinite(values).all():
            raise UserError(f"{probe['kind']}: some scores are missing or not finite: try other hyper-parameters")
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
                "probe": dict(probe),
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


def load(features: Path, index: Path, label_set: int, classes: int) -> tuple[Data, dict[str, Any]]:
    """Reads and standardises a feature set with a label set, and returns the features' metadata beside it.

    Raises:
        UserError: the index lacks a patch of the features, or has no labels of this set.
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
