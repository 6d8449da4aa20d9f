"""Intervals: metrics of drawn patches against scikit-learn's, and coverage of a known truth."""

import numpy as np
import pytest
import sklearn.metrics
from earthprobe.evaluation.intervals import average_precision, intervals, resampled
from earthprobe.evaluation.metrics import METRICS_OF, overall

RNG = np.random.default_rng(3)


def case(task: str, patches: int = 80, classes: int = 6):
    if task == "single":
        true = RNG.integers(0, classes, patches)
        targets = np.eye(classes, dtype=bool)[true]
    else:
        targets = RNG.random((patches, classes)) < 0.3
    scores = (targets * 0.3 + RNG.random((patches, classes))).round(1).astype(np.float32) / 1.3  # with equal scores
    return targets, scores


@pytest.mark.parametrize("task", ["multilabel", "single"])
def test_each_draw_has_the_metrics_of_its_patches(task: str):
    targets, scores = case(task)
    counts = RNG.multinomial(80, np.full(80, 1 / 80), size=20)
    counts[0] = 1
    values = resampled(targets, scores, counts.astype(float), 0.5, task)
    assert set(values) == {metric.name for metric in METRICS_OF[task]}
    for draw, count in enumerate(counts):
        rows = np.repeat(np.arange(80), count)
        want = overall(targets[rows], scores[rows], 0.5, task)
        for name, value in values.items():
            assert value[draw] == pytest.approx(want[name], abs=1e-6), name


def test_average_precision_is_scikit_learns_with_weights():
    targets, scores = RNG.random(200) < 0.2, RNG.random(200).round(2).astype(np.float32)
    weights = RNG.integers(0, 4, (10, 200)).astype(float)
    got = average_precision(targets, scores, weights)
    for value, weight in zip(got, weights, strict=True):
        assert value == pytest.approx(sklearn.metrics.average_precision_score(targets, scores, sample_weight=weight))
    assert average_precision(np.zeros(200, bool), scores, weights).tolist() == [0.0] * 10


def test_intervals_are_seeded_and_hold_the_figure():
    targets, scores = case("single", 300)
    groups = [f"g{i // 10}" for i in range(300)]
    found = intervals(targets, scores[None], groups, 0.5, "single")
    assert found == intervals(targets, scores[None], groups, 0.5, "single")
    assert found != intervals(targets, scores[None], groups, 0.5, "single", seed=1)
    low, high = found["accuracy"]
    assert low < overall(targets, scores, 0.5, "single")["accuracy"] < high


def test_the_truth_lies_in_95_of_100_intervals():
    """The accuracy of patches that come in groups of equals, by which patches alone would be far too sure."""
    rng, inside, narrow = np.random.default_rng(5), 0, 0
    for _ in range(200):
        right = np.repeat(rng.random(40) < 0.7, 8)
        targets = np.tile([True, False], (320, 1))
        scores = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]).astype(np.float32)
        groups = np.repeat(np.arange(40), 8)
        low, high = intervals(targets, scores[None], groups, 0.5, "single", draws=300)["accuracy"]
        inside += low <= 0.7 <= high
        low, high = intervals(targets, scores[None], np.arange(320), 0.5, "single", draws=300)["accuracy"]
        narrow += low <= 0.7 <= high
    assert 180 <= inside <= 198
    assert narrow < 150


def test_repeats_that_differ_widen_an_interval():
    targets, scores = case("multilabel", 200)
    other = case("multilabel", 200)[1]
    alike = intervals(targets, np.stack([scores, scores]), np.arange(200), 0.5, "multilabel")["map_macro"]
    apart = intervals(targets, np.stack([scores, other]), np.arange(200), 0.5, "multilabel")["map_macro"]
    assert apart[1] - apart[0] > 1.5 * (alike[1] - alike[0])
