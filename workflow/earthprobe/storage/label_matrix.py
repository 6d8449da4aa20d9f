"""The labels of an index: the names of classes, and lists of class indices as a matrix."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from earthprobe.errors import UserError
from earthprobe.storage.parquet import read_metadata


def label_matrix(labels: pl.Series, classes: int) -> npt.NDArray[np.bool_]:
    """Which patch has which class.

    Args:
        labels: a list of class indices a patch.
        classes: the number of classes.

    Returns:
        A matrix of shape (patches, classes).
    """
    matrix = np.zeros((len(labels), classes), dtype=bool)
    rows = np.repeat(np.arange(len(labels)), labels.list.len().to_numpy())
    matrix[rows, labels.explode(empty_as_null=False).to_numpy()] = True
    return matrix


def classes_of(index: Path, label_set: str) -> list[str]:
    """The names of the classes of a label set.

    Raises:
        UserError: the index has no such labels.
    """
    known: dict[str, list[str]] = read_metadata(index)["classes"]
    if label_set not in known:
        raise UserError(f"{index} has no label set {label_set}: it has {', '.join(known)}")
    return known[label_set]
