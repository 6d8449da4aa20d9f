"""The metrics: each is one entry of :data:`METRICS`, which evaluation, tables and published rows all read.

They are scikit-learn's, imported when one is computed: a table needs their names alone.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

Score = Callable[[Bools, Bools, Floats], float]
"""Of targets, predictions and scores, each of shape (patches, classes)."""


class Metric(NamedTuple):
    """A metric over all classes; one without a positive scores 0 and counts in the macro averages.

    Attributes:
        name: its column.
        heading: its column's heading in a table to read.
        format: how a value stands there: in percent, or as it is.
        function: computes it.
    """

    name: str
    heading: str
    format: Literal["percent", "plain"]
    function: Score

    def show(self, value: float) -> str:
        """The value as a table to read has it."""
        return f"{100 * value:.1f}" if self.format == "percent" else f"{value:.3f}"


def of_predictions(name: str, **options: Any) -> Score:
    """A metric of scikit-learn that takes targets and predictions."""

    def score(targets: Bools, predicted: Bools, scores: Floats) -> float:
        import sklearn.metrics

        return float(getattr(sklearn.metrics, name)(targets, predicted, **options))

    return score


def map_macro(targets: Bools, predicted: Bools, scores: Floats) -> float:
    """The mean over all classes of their average precision."""
    return float(np.mean(average_precisions(targets, scores)))


def map_micro(targets: Bools, predicted: Bools, scores: Floats) -> float:
    """The average precision of all pairs of a patch and a class together."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(targets, scores, average="micro")) if targets.any() else 0.0


def average_precisions(targets: Bools, scores: Floats) -> list[float]:
    """The average precision of each class; 0 for a class without a positive, as in scikit-learn."""
    from sklearn.metrics import average_precision_score

    return [
        float(average_precision_score(targets[:, i], scores[:, i])) if targets[:, i].any() else 0.0
        for i in range(targets.shape[1])
    ]


MACRO: dict[str, Any] = {"average": "macro", "zero_division": 0}
MICRO: dict[str, Any] = {"average": "micro", "zero_division": 0}

METRICS = (
    # The reference study's, in its order.
    Metric("f2_macro", "F2 macro %", "percent", of_predictions("fbeta_score", beta=2, **MACRO)),
    Metric("f2_micro", "F2 micro %", "percent", of_predictions("fbeta_score", beta=2, **MICRO)),
    Metric("hamming_loss", "hamming loss", "plain", of_predictions("hamming_loss")),
    Metric("precision_macro", "P macro %", "percent", of_predictions("precision_score", **MACRO)),
    Metric("precision_micro", "P micro %", "percent", of_predictions("precision_score", **MICRO)),
    Metric("f1_macro", "F1 macro %", "percent", of_predictions("fbeta_score", beta=1, **MACRO)),
    Metric("f1_micro", "F1 micro %", "percent", of_predictions("fbeta_score", beta=1, **MICRO)),
    Metric("map_macro", "mAP macro %", "percent", map_macro),
    Metric("map_micro", "mAP micro %", "percent", map_micro),
)


def overall(targets: Bools, scores: Floats, threshold: float) -> dict[str, float | int]:
    """All metrics, and how many patches and classes without a positive they stand for.

    Args:
        targets: shape (patches, classes).
        scores: shape (patches, classes).
        threshold: a class is predicted where its score is above this.
    """
    predicted = scores > threshold
    result: dict[str, float | int] = {metric.name: metric.function(targets, predicted, scores) for metric in METRICS}
    result["patches"] = len(targets)
    result["classes_without_positive"] = int((~targets.any(axis=0)).sum())
    return result


PER_CLASS = ("support", "precision", "recall", "f1", "f2", "ap", "tn", "fp", "fn", "tp")
"""The columns of :func:`by_class`."""


def by_class(targets: Bools, scores: Floats, threshold: float) -> list[tuple[float | int, ...]]:
    """The columns :data:`PER_CLASS`, one row a class."""
    from sklearn.metrics import fbeta_score, multilabel_confusion_matrix, precision_score, recall_score

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
