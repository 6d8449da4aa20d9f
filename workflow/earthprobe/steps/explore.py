"""Count how often each class occurs, and which classes occur together."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from earthprobe.archives.interface import SPLITS
from earthprobe.describe import describe_data
from earthprobe.storage.files import write_csv
from earthprobe.storage.label_matrix import classes_of, label_matrix
from earthprobe.storage.parquet import read_metadata

log = logging.getLogger(__name__)


def run(*, index: Path, label_set: str, distribution: Path, correlation: Path) -> None:
    """Writes the numbers behind two figures.

    Args:
        index: ``index.parquet``.
        label_set: the name of the label set.
        distribution: CSV, one row a class: its patches in each split.
        correlation: CSV, one row a pair of classes: Pearson's correlation of their presence over the patches
            of the train split; empty where a class is in none or in all of them.
    """
    source = read_metadata(index)
    classes = classes_of(index, label_set)
    data = describe_data(source)
    table = pl.read_parquet(index, columns=["split", f"labels_{label_set}"])
    labels = table[f"labels_{label_set}"]
    counts = {split: class_counts(labels.filter(table["split"] == split), len(classes)) for split in SPLITS}
    rows = [(i, name, *(int(counts[s][i]) for s in SPLITS), data) for i, name in enumerate(classes)]
    write_csv(distribution, ("class", "name", *SPLITS, "data"), rows)

    matrix = label_correlation(labels.filter(table["split"] == "train"), len(classes))
    pairs = [
        (a, b, classes[a], classes[b], "" if np.isnan(matrix[a, b]) else f"{matrix[a, b]:.6f}", data)
        for a in range(len(classes))
        for b in range(len(classes))
    ]
    write_csv(correlation, ("class", "other", "name", "other_name", "correlation", "data"), pairs)
    log.info("%d classes, %d of them in train", len(classes), int((counts["train"] > 0).sum()))


def class_counts(labels: pl.Series, classes: int) -> npt.NDArray[np.int64]:
    """How many patches have each class.

    Args:
        labels: a list of class indices a patch.
        classes: the number of classes.
    """
    present = labels.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    counts: npt.NDArray[np.int64] = np.bincount(present, minlength=classes)
    return counts


def label_correlation(labels: pl.Series, classes: int) -> npt.NDArray[np.float64]:
    """Pearson's correlation between the columns of the label matrix, from its co-occurrence counts.

    Args:
        labels: a list of class indices a patch.
        classes: the number of classes.

    Returns:
        A matrix of shape (classes, classes), nan where a class is in no patch or in all of them.
    """
    patches = len(labels)
    matrix = label_matrix(labels, classes).astype(np.float32)
    together = (matrix.T @ matrix).astype(np.float64)  # counts stay exact in float32 up to 16.7 million patches
    share = np.diag(together) / patches
    covariance = together / patches - np.outer(share, share)
    deviation = np.sqrt(share * (1 - share))
    with np.errstate(divide="ignore", invalid="ignore"):
        result: npt.NDArray[np.float64] = covariance / np.outer(deviation, deviation)
    result[(deviation == 0), :] = np.nan
    result[:, (deviation == 0)] = np.nan
    return result
