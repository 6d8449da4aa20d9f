"""The metrics: each is one entry of :data:`METRICS` or :data:`SINGLE`, which evaluation and tables read.

The former are of patches with any number of classes, the latter of patches with one.

They are scikit-learn's, imported when one is computed: a table needs their names alone.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
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
        function: computes it; None where :mod:`earthprobe.evaluation.resampling` does, as of each draw.
    """

    name: str
    heading: str
    format: Literal["percent", "plain"]
    function: Score | None = None

    def show(self, value: float) -> str:
        """The value as a table to read has it."""
        return f"{100 * value:.1f}" if self.format == "percent" else f"{value:.3f}"

    def show_published(self, text: str) -> str:
        """A published value, with the digits with which it was published."""
        return f"{Decimal(text).scaleb(2):f}" if self.format == "percent" else text

    def show_all(self, value: float, ends: Sequence[float], mark: str = "") -> str:
        """The value with its interval."""
        low, high = map(self.show, ends)
        return f"{self.show(value)}{mark} [{low}, {high}]"


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


BATCHED = "map_micro_of_batches"
"""What ``metrics.json`` calls :func:`map_micro_of_batches`."""

BATCH = 64
"""Patches of a batch of Copernicus-Bench."""


def map_micro_of_batches(targets: Bools, scores: Floats) -> float:
    """The mean over batches of 64 patches, as they come, of their micro AP, each weighing its patches.

    So does Copernicus-Bench (https://github.com/zhu-xlab/Copernicus-FM) gather its mAP, which is no micro AP of all.
    """
    starts = range(0, len(targets), BATCH)
    parts = [(targets[start : start + BATCH], scores[start : start + BATCH]) for start in starts]
    values = [map_micro(true, true, scored) for true, scored in parts]
    return float(np.average(values, weights=[len(true) for true, _ in parts]))


def average_precisions(targets: Bools, scores: Floats) -> list[float]:
    """The average precision of each class; 0 for a class without a positive, as in scikit-learn."""
    from sklearn.metrics import average_precision_score

    return [
        float(average_precision_score(targets[:, i], scores[:, i])) if targets[:, i].any() else 0.0
        for i in range(targets.shape[1])
    ]


HEADINGS = {"f2": "F2", "precision": "P", "recall": "R", "f1": "F1"}

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


def of_classes(name: str, **options: Any) -> Score:
    """A metric of scikit-learn that takes the class that each patch has, and that which scores best."""

    def score(targets: Bools, predicted: Bools, scores: Floats) -> float:
        import sklearn.metrics

        return float(getattr(sklearn.metrics, name)(targets.argmax(axis=1), scores.argmax(axis=1), **options))

    return score


def kappa(targets: Bools, predicted: Bools, scores: Floats) -> float:
    """Cohen's kappa; 0 where there is one class alone and it is predicted, which chance would do as well."""
    from sklearn.metrics import cohen_kappa_score

    classes = range(targets.shape[1])
    return float(np.nan_to_num(cohen_kappa_score(targets.argmax(axis=1), scores.argmax(axis=1), labels=classes)))


def f1_macro(targets: Bools, predicted: Bools, scores: Floats) -> float:
    """The mean over all classes of F1."""
    from sklearn.metrics import f1_score

    true, best = targets.argmax(axis=1), scores.argmax(axis=1)
    return float(f1_score(true, best, labels=range(targets.shape[1]), **MACRO))


def top5(targets: Bools, predicted: Bools, scores: Floats) -> float:
    """How often the class is among the five that score best; where scores are equal, it is taken to come first."""
    own = np.take_along_axis(scores, targets.argmax(axis=1)[:, None], axis=1)
    return float(((scores > own).sum(axis=1) < 5).mean())


SINGLE = (
    Metric("accuracy", "accuracy %", "percent", of_classes("accuracy_score")),
    Metric("balanced_accuracy", "balanced accuracy %", "percent", of_classes("balanced_accuracy_score")),
    Metric("f1_macro", "F1 macro %", "percent", f1_macro),
    Metric("kappa", "kappa", "plain", kappa),
    Metric("top5_accuracy", "top-5 accuracy %", "percent", top5),
)

METRICS_OF: Mapping[str, Sequence[Metric]] = {"multilabel": METRICS, "single": SINGLE}
"""The metrics of a label set, by its task."""

DECIDED = {
    **{f"{name}_{kind}": f"{heading} {kind} %" for kind in ("macro", "micro") for name, heading in HEADINGS.items()},
    **{f"{name}_macro_occurring": f"{heading} macro, occurring %" for name, heading in HEADINGS.items()},
}
"""Metrics of predictions that are had of each rule of :data:`earthprobe.evaluation.runs.RULES`, and headings."""

CALIBRATION = (
    Metric("brier", "Brier", "plain"),
    Metric("brier_tempered", "Brier, tempered", "plain"),
    Metric("ece_macro", "ECE", "plain"),
    Metric("ece_macro_tempered", "ECE, tempered", "plain"),
)

MORE_OF: Mapping[str, Sequence[Metric]] = {
    "multilabel": (
        *(
            Metric(f"{name}{suffix}", f"{heading}{aside}", "percent")
            for suffix, aside in (("", ""), ("_global", ", one threshold"), ("_per_class", ", a threshold a class"))
            for name, heading in DECIDED.items()
            if suffix or name not in {metric.name for metric in METRICS}
        ),
        Metric("hamming_loss_global", "hamming loss, one threshold", "plain"),
        Metric("hamming_loss_per_class", "hamming loss, a threshold a class", "plain"),
        Metric("map_macro_occurring", "mAP macro, occurring %", "percent"),
        *CALIBRATION,
    ),
    "single": (Metric("f1_macro_occurring", "F1 macro, occurring %", "percent"), *CALIBRATION),
}
"""What is had beside :data:`METRICS_OF`: of tuned thresholds, of the classes that occur, and of calibration."""

BEST = {"multilabel": "map_macro", "single": "balanced_accuracy"}
"""The metric by which feature sets are compared: none of a threshold's, and each class counts alike."""

OF_FEW = {
    "multilabel": ("map_micro", "f2_micro", "map_macro_occurring"),
    "single": ("accuracy", "balanced_accuracy", "f1_macro_occurring"),
}
"""The metrics of few patches, that which figures draw first: none counts a class that nothing has as 0."""


def heading_of(name: str) -> str:
    """What a metric is called in a sentence, without its unit."""
    metrics = (metric for known in (*METRICS_OF.values(), *MORE_OF.values()) for metric in known)
    return next(metric.heading for metric in metrics if metric.name == name).removesuffix(" %")


def predict(scores: Floats, threshold: float, task: str) -> Bools:
    """Which classes are predicted: those above the threshold, or the one that scores best."""
    if task == "single":
        best: Bools = np.eye(scores.shape[1], dtype=bool)[scores.argmax(axis=1)]
        return best
    return scores > threshold


def overall(targets: Bools, scores: Floats, threshold: float, task: str = "multilabel") -> dict[str, float | int]:
    """All metrics, and how many patches and classes without a positive they stand for.

    Args:
        targets: shape (patches, classes).
        scores: shape (patches, classes).
        threshold: a class is predicted where its score is above this.
        task: ``multilabel`` or ``single``.
    """
    predicted = predict(scores, threshold, task)
    result: dict[str, float | int] = {
        metric.name: metric.function(targets, predicted, scores) for metric in METRICS_OF[task] if metric.function
    }
    result["patches"] = len(targets)
    result["classes_without_positive"] = int((~targets.any(axis=0)).sum())
    return result


PER_CLASS = ("support", "precision", "recall", "f1", "f2", "ap", "tn", "fp", "fn", "tp")
"""The columns of :func:`by_class`."""


def by_class(
    targets: Bools, scores: Floats, threshold: float, task: str = "multilabel"
) -> list[tuple[float | int, ...]]:
    """The columns :data:`PER_CLASS`, one row a class."""
    from sklearn.metrics import fbeta_score, multilabel_confusion_matrix, precision_score, recall_score

    predicted = predict(scores, threshold, task)
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
