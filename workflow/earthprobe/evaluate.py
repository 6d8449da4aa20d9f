"""evaluate: the metrics of a probe's scores."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    average_precision_score,
    fbeta_score,
    hamming_loss,
    multilabel_confusion_matrix,
    precision_score,
    recall_score,
)

from earthprobe.describe import describe_data, describe_weights
from earthprobe.files import parquet, read_metadata, write_csv, write_json

log = logging.getLogger(__name__)

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

FIGURES = ("support", "precision", "recall", "f1", "f2", "ap", "tn", "fp", "fn", "tp")
PER_CLASS = ("class", "name", *FIGURES, "data", "weights")


def evaluate(scores: Path, threshold: float, metrics: Path, per_class: Path) -> None:
    """Writes the metrics of val and test, and those of each class on test.

    Args:
        scores: a probe's scores.
        threshold: a class is predicted where its score is above this.
        metrics: JSON: metrics a split, and all that the scores' metadata says of features and probe.
        per_class: CSV, one row a class, test split.
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
    result: dict[str, Any] = {
        split: overall(targets[splits == split], values[splits == split], threshold) for split in ("test", "val")
    }
    log.info("test: %s", result["test"])
    write_json(metrics, {**result, "threshold": threshold, **source})
    test = splits == "test"
    rows = by_class(targets[test], values[test], threshold)
    origin = (describe_data(source["features"]), describe_weights(source["features"]))
    named = enumerate(zip(classes, rows, strict=True))
    write_csv(per_class, PER_CLASS, [(i, name, *row, *origin) for i, (name, row) in named])


def overall(targets: Bools, scores: Floats, threshold: float) -> dict[str, float | int]:
    """Metrics over all classes; a class without a positive scores 0 and counts in the macro averages.

    Args:
        targets: shape (patches, classes).
        scores: shape (patches, classes).
        threshold: a class is predicted where its score is above this.
    """
    predicted = scores > threshold
    result: dict[str, float | int] = {}
    for name, beta in (("f2", 2.0), ("f1", 1.0)):
        for average in ("macro", "micro"):
            value = fbeta_score(targets, predicted, beta=beta, average=average, zero_division=0)
            result[f"{name}_{average}"] = float(value)
    for average in ("macro", "micro"):
        value = precision_score(targets, predicted, average=average, zero_division=0)
        result[f"precision_{average}"] = float(value)
    result["hamming_loss"] = float(hamming_loss(targets, predicted))
    result["map_macro"] = float(np.mean(average_precisions(targets, scores)))
    result["map_micro"] = float(average_precision_score(targets, scores, average="micro")) if targets.any() else 0.0
    result["patches"] = len(targets)
    result["classes_without_positive"] = int((~targets.any(axis=0)).sum())
    return result


def average_precisions(targets: Bools, scores: Floats) -> list[float]:
    """The average precision of each class; 0 for a class without a positive, as in scikit-learn."""
    return [
        float(average_precision_score(targets[:, i], scores[:, i])) if targets[:, i].any() else 0.0
        for i in range(targets.shape[1])
    ]


def by_class(targets: Bools, scores: Floats, threshold: float) -> list[tuple[float | int, ...]]:
    """The columns :data:`FIGURES`, one row a class."""
    predicted = scores > threshold
    columns = [
        targets.sum(axis=0).tolist(),
        precision_score(targets, predicted, average=None, zero_division=0).tolist(),
        recall_score(targets, predicted, average=None, zero_division=0).tolist(),
        fbeta_score(targets, predicted, beta=1, average=None, zero_division=0).tolist(),
        fbeta_score(targets, predicted, beta=2, average=None, zero_division=0).tolist(),
        average_precisions(targets, scores),
        *multilabel_confusion_matrix(targets, predicted).reshape(-1, 4).T.tolist(),
    ]
    return list(zip(*columns, strict=True))
