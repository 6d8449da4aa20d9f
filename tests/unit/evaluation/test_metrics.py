import warnings

import numpy as np
import pytest
from earthprobe.evaluation.metrics import (
    METRICS,
    PER_CLASS,
    average_precisions,
    by_class,
    map_micro_of_batches,
    overall,
)
from sklearn import metrics


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets with an empty class and a full one, and scores with ties."""
    rng = np.random.default_rng(seed)
    targets = rng.random((200, 7)) < rng.uniform(0.02, 0.6, 7)
    targets[:, 2] = False
    targets[:, 5] = True
    scores = np.round(np.clip(0.4 * targets + rng.normal(0.3, 0.25, targets.shape), 0, 1), 2).astype(np.float32)
    scores[:, 6] = 0.1  # never predicted
    return targets, scores


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_scikit_learns(seed: int):
    targets, scores = random_case(seed)
    got = overall(targets, scores, 0.5)
    predicted = scores > 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = metrics.classification_report(targets, predicted, output_dict=True, zero_division=0)
        assert got["map_macro"] == pytest.approx(metrics.average_precision_score(targets, scores, average="macro"))
        assert got["map_micro"] == pytest.approx(metrics.average_precision_score(targets, scores, average="micro"))
    for average in ("macro", "micro"):
        row = report[f"{average} avg"]
        assert got[f"precision_{average}"] == pytest.approx(row["precision"])
        assert got[f"f1_{average}"] == pytest.approx(row["f1-score"])
    assert got["hamming_loss"] == pytest.approx((targets != predicted).mean())
    assert got["classes_without_positive"] == 1
    assert got["patches"] == 200


@pytest.mark.parametrize("seed", range(5))
def test_f2_and_confusion_equal_their_definition(seed: int):
    targets, scores = random_case(seed)
    predicted = scores > 0.5
    tp = (targets & predicted).sum(axis=0)
    fp = (~targets & predicted).sum(axis=0)
    fn = (targets & ~predicted).sum(axis=0)
    tn = (~targets & ~predicted).sum(axis=0)
    denominator = 5 * tp + 4 * fn + fp
    f2 = np.divide(5 * tp, denominator, out=np.zeros(7), where=denominator > 0)
    got = overall(targets, scores, 0.5)
    assert got["f2_macro"] == pytest.approx(f2.mean())
    assert got["f2_micro"] == pytest.approx(5 * tp.sum() / (5 * tp.sum() + 4 * fn.sum() + fp.sum()))
    rows = [dict(zip(PER_CLASS, row, strict=True)) for row in by_class(targets, scores, 0.5)]
    for i, row in enumerate(rows):
        assert (row["tn"], row["fp"], row["fn"], row["tp"]) == (tn[i], fp[i], fn[i], tp[i])
        assert row["support"] == targets[:, i].sum()
        assert row["f2"] == pytest.approx(f2[i])
    assert rows[2]["f2"] == rows[2]["ap"] == rows[2]["recall"] == 0


def test_a_score_at_the_threshold_is_no_prediction():
    assert overall(np.array([[True]]), np.array([[0.5]], np.float32), 0.5)["f1_micro"] == 0
    assert overall(np.array([[True]]), np.array([[0.51]], np.float32), 0.5)["f1_micro"] == 1


def test_no_positive_at_all_scores_zero():
    got = overall(np.zeros((4, 2), bool), np.full((4, 2), 0.2, np.float32), 0.5)
    assert got["map_micro"] == got["map_macro"] == got["f2_macro"] == 0
    assert got["hamming_loss"] == 0
    assert average_precisions(np.zeros((4, 2), bool), np.zeros((4, 2), np.float32)) == [0, 0]


def test_every_metric_has_a_name_of_its_own_and_is_shown():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert list(overall(*random_case(0), 0.5)) == [*names, "patches", "classes_without_positive"]
    shown = {metric.name: metric.show(0.12345) for metric in METRICS}
    assert {name for name, text in shown.items() if text == "0.123"} == {"hamming_loss"}
    assert set(shown.values()) == {"0.123", "12.3"}
    assert all(metric.heading.endswith(" %") == (metric.format == "percent") for metric in METRICS)


def test_a_mean_over_batches_is_not_the_mean_over_all():
    rng = np.random.default_rng(4)
    targets = rng.random((150, 5)) < 0.3
    scores = (0.3 * targets + rng.random((150, 5))).astype(np.float32)
    parts = [slice(0, 64), slice(64, 128), slice(128, 150)]
    each = [metrics.average_precision_score(targets[part], scores[part], average="micro") for part in parts]
    assert map_micro_of_batches(targets, scores) == pytest.approx(np.average(each, weights=[64, 64, 22]))
    assert map_micro_of_batches(targets, scores) != pytest.approx(overall(targets, scores, 0.5)["map_micro"], abs=1e-3)


def test_kappa_of_one_class_alone_is_that_of_chance():
    """Where scikit-learn has no number, which JSON could not hold."""
    targets = np.tile([True, False], (9, 1))
    assert overall(targets, targets.astype(np.float32), 0.5, "single")["kappa"] == 0
    assert overall(targets, (~targets).astype(np.float32), 0.5, "single")["kappa"] == 0
