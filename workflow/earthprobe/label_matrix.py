"""Lists of class indices as a matrix, which probes and correlations work on."""

import numpy as np
import numpy.typing as npt
import polars as pl


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
