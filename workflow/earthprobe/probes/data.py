"""Reads what a probe is fitted on: a feature set with a label set, split by split, and standardised."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from earthprobe.errors import UserError
from earthprobe.probes.interface import Data, Floats, Part
from earthprobe.storage.embeddings import read_embeddings
from earthprobe.storage.label_matrix import label_matrix
from earthprobe.storage.parquet import parquet, read_metadata

SPLITS = ("train", "val", "test")


def permuted(data: Data, seed: int) -> Data:
    """The same patches, those of train and those of val each with the labels of another."""
    rng = np.random.default_rng(seed)
    parts = dict(data.parts)
    for split in ("train", "val"):
        part = parts[split]
        parts[split] = Part(part.ids, part.features, part.targets[rng.permutation(len(part.ids))])
    return Data(parts, data.mean, data.std, data.task)


def load(
    features: Path,
    index: Path,
    label_set: str,
    classes: int,
    task: str = "multilabel",
    scale: bool = True,
    buffer: float = 0,
) -> Data:
    """Reads and standardises a feature set with a label set, split by split.

    Raises:
        UserError: the index lacks a patch of the features, or a split is left without one.
    """
    splits = splits_of(rows_of(features, index, label_set), buffer)
    return standardised(parts_of(features, splits, classes), task, scale)


def splits_of(rows: pl.DataFrame, buffer: float = 0) -> dict[str, pl.DataFrame]:
    """The patches of each split, those of train only where they are far enough from test.

    Raises:
        UserError: the buffer leaves no train patch.
    """
    if buffer:
        far = pl.col("cells_to_test").fill_null(0) > buffer
        rows = rows.filter((pl.col("split") != "train") | far)
        if rows.filter(pl.col("split") == "train").is_empty():
            raise UserError(f"no train patch is further than {buffer:g} cells from all of test: give less")
    return {split: rows.filter(pl.col("split") == split) for split in SPLITS}


def rows_of(features: Path, index: Path, label_set: str) -> pl.DataFrame:
    """The patches of a feature set that have labels: their row, split, place, group, labels and, if any, folds.

    Raises:
        UserError: the index lacks a patch of the features.
    """
    with parquet(features) as file:
        ids = pl.from_arrow(file.read(columns=["patch_id"]))
    labels = f"labels_{label_set}"
    wanted = {"patch_id", "split", "group", "tile", labels, "folds", "cells_to_test"}
    known = pl.read_parquet(index, columns=[name for name in pl.read_parquet_schema(index) if name in wanted])
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
    return rows.rename({labels: "labels"})


def parts_of(features: Path, splits: Mapping[str, pl.DataFrame], classes: int) -> dict[str, Part]:
    """The vectors and targets of some patches, not standardised yet.

    Raises:
        UserError: there is no patch.
    """
    for split, here in splits.items():
        if here.is_empty():
            raise UserError(f"{features} has no patch of {split} with labels: rejected.csv says which were left out")
    vectors = read_embeddings(features, [here["row"].to_numpy() for here in splits.values()])
    return {
        split: Part(here["patch_id"].to_list(), matrix, label_matrix(here["labels"], classes))
        for (split, here), matrix in zip(splits.items(), vectors, strict=True)
    }


def standardised(parts: dict[str, Part], task: str = "multilabel", scale: bool = True) -> Data:
    """Standardises all parts, in place, by mean and deviation of train, unless features stay as they are."""
    if not scale:
        dimensions = parts["train"].features.shape[1]
        return Data(parts, np.zeros(dimensions, np.float32), np.ones(dimensions, np.float32), task)
    mean, std = moments(parts["train"].features)
    mean32, std32 = mean.astype(np.float32), std.astype(np.float32)
    std32[std32 == 0] = 1.0
    for part in parts.values():
        part.features -= mean32
        part.features /= std32
    return Data(parts, mean32, std32, task)


def moments(features: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each dimension in float64, without a float64 copy of the features."""
    mean = features.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(features), 4096):
        squares += np.square(features[start : start + 4096] - mean).sum(axis=0)
    return mean, np.sqrt(squares / max(len(features), 1))
