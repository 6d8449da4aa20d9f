"""Metrics of drawn patches against scikit-learn's of the same patches."""

import functools

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics
from earthprobe.evaluation.calibration import BINS
from earthprobe.evaluation.metrics import METRICS_OF, MORE_OF, by_class, overall
from earthprobe.evaluation.resampling import (
    Draws,
    all_draws,
    average_precisions,
    drawn,
    numbered,
    resampled,
    summed,
    without_one,
)
from earthprobe.evaluation.runs import RULES, Run, plain


def case(task: str, patches: int = 80, classes: int = 6, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if task == "single":
        true = rng.integers(0, classes, patches)
        targets = np.eye(classes, dtype=bool)[true]
    else:
        targets = rng.random((patches, classes)) < 0.3
        targets[:, -1] = False
    scores = (targets * 0.3 + rng.random((patches, classes))).round(1).astype(np.float32) / 1.3  # with equal scores
    return targets, scores


@pytest.mark.parametrize("task", ["multilabel", "single"])
@pytest.mark.parametrize("clusters", [80, 9])
def test_each_draw_has_the_metrics_of_its_patches(task: str, clusters: int):
    targets, scores = case(task)
    member = numbered([f"c{i % clusters}" for i in range(80)])
    draws = drawn(member, 20, seed=1)
    values = resampled(targets, plain(scores, 0.5), draws, task)
    assert set(values.overall) == {metric.name for metric in (*METRICS_OF[task], *MORE_OF[task])}
    columns = ("support", "precision", "recall", "f1", "f2", "ap")
    for draw in range(20):
        rows = np.repeat(np.arange(80), draws.weights[member, draw])
        want = overall(targets[rows], scores[rows], 0.5, task)
        for metric in METRICS_OF[task]:
            assert values.overall[metric.name][draw] == pytest.approx(want[metric.name], abs=1e-6), metric.name
        for number, row in enumerate(by_class(targets[rows], scores[rows], 0.5, task)):
            for name, wanted in zip(columns, row, strict=False):
                if name != "support":
                    assert values.by_class[name][draw, number] == pytest.approx(wanted, abs=1e-6), name


def test_draws_under_each_rule_and_of_calibration_are_scikit_learns():
    targets, scores = case("multilabel")
    thresholds = {
        "fixed": np.full((1, 6), 0.5, np.float32),
        "global": np.full((1, 6), 0.3, np.float32),
        "per_class": np.random.default_rng(4).random((80, 6)).astype(np.float32),  # of folds, each patch has its own
    }
    run = Run(scores, thresholds, scores**2, [1.0])
    member = numbered([f"c{i % 9}" for i in range(80)])
    draws = drawn(member, 20, seed=1)
    values = resampled(targets, run, draws, "multilabel")
    for draw in range(20):
        rows = np.repeat(np.arange(80), draws.weights[member, draw])
        true, there = targets[rows], targets[rows].any(axis=0)
        got = {name: value[draw] for name, value in values.overall.items()}
        for rule in RULES:
            suffix = "" if rule == "fixed" else f"_{rule}"
            predicted = (scores > thresholds[rule])[rows]
            for name, score in (
                ("f2", functools.partial(sklearn.metrics.fbeta_score, beta=2)),
                ("f1", sklearn.metrics.f1_score),
                ("precision", sklearn.metrics.precision_score),
                ("recall", sklearn.metrics.recall_score),
            ):
                options = {"zero_division": 0}
                for average in ("macro", "micro"):
                    want = score(true, predicted, average=average, **options)
                    assert got[f"{name}_{average}{suffix}"] == pytest.approx(want)
                want = score(true[:, there], predicted[:, there], average="macro", **options)
                assert got[f"{name}_macro_occurring{suffix}"] == pytest.approx(want)
            assert got[f"hamming_loss{suffix}"] == pytest.approx((true != predicted).mean())
        want = sklearn.metrics.average_precision_score(true[:, there], scores[rows][:, there], average="macro")
        assert got["map_macro_occurring"] == pytest.approx(want)
        for suffix, promised in (("", scores), ("_tempered", scores**2)):
            briers = [sklearn.metrics.brier_score_loss(true[:, k], promised[rows, k], pos_label=1) for k in range(6)]
            assert got[f"brier{suffix}"] == pytest.approx(np.mean(briers), rel=1e-5)
            errors = [
                torchmetrics.functional.classification.binary_calibration_error(
                    torch.tensor(promised[rows, k]), torch.tensor(true[:, k]), n_bins=BINS
                ).item()
                for k in range(6)
            ]
            assert got[f"ece_macro{suffix}"] == pytest.approx(np.mean(errors), abs=2e-6)
            np.testing.assert_allclose(values.by_class[f"ece{suffix}"][draw], errors, atol=2e-6)


def test_average_precision_is_scikit_learns_with_weights():
    rng = np.random.default_rng(3)
    targets, scores = rng.random(2000) < 0.2, rng.random(2000).round(2).astype(np.float32)
    weights = rng.integers(0, 4, (2000, 600)).astype(np.uint16)
    draws = Draws(np.arange(2000, dtype=np.int32), weights)
    got = average_precisions(targets[:, None], scores[:, None], draws)[:, 0]
    for draw in (0, 249, 250, 599):
        want = sklearn.metrics.average_precision_score(targets, scores, sample_weight=weights[:, draw])
        assert got[draw] == pytest.approx(want, abs=1e-13)
    assert not average_precisions(np.zeros((2000, 1), bool), scores[:, None], draws).any()


def test_draws_take_as_many_clusters_as_there_are_and_are_seeded():
    member = numbered(["b", "a", "b", "c"])
    assert member.tolist() == [1, 0, 1, 2]
    draws = drawn(member, 500, seed=4)
    assert (draws.weights.sum(axis=0) == 3).all()
    np.testing.assert_array_equal(draws.weights, drawn(member, 500, seed=4).weights)
    assert (draws.weights != drawn(member, 500, seed=5).weights).any()
    assert draws.weights.mean() == 1
    np.testing.assert_allclose(draws.weights.var(axis=1), 2 / 3, atol=0.12)  # of a multinomial


def test_each_cluster_is_left_out_once():
    assert without_one(numbered([0, 1, 2, 1])).weights.tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    many = without_one(np.arange(1001, dtype=np.int32), most=200).weights
    assert many.shape == (1001, 200)
    assert (many.sum(axis=1) == 199).all()
    assert set((1001 - many.sum(axis=0)).tolist()) == {5, 6}


@pytest.mark.parametrize("clusters", [7, 250])
def test_all_draws_lie_side_by_side(clusters: int):
    member = numbered(np.random.default_rng(3).permutation(1000) % clusters)
    weights = all_draws(member, 40, seed=2).weights
    parts = [np.ones((clusters, 1)), drawn(member, 40, seed=2).weights, without_one(member).weights]
    np.testing.assert_array_equal(weights, np.hstack(parts))


@pytest.mark.parametrize("size", [100, 2**18], ids=["single", "double"])
def test_sums_are_exact_however_large_clusters_are(size: int):
    """Whole numbers are added in single precision where that holds them, and in double where it does not."""
    member = np.arange(64 * size, dtype=np.int32) % 64
    weights = np.random.default_rng(3).integers(0, 9, (64, 5)).astype(np.uint16)
    mask = np.ones((len(member), 1), bool)
    mask[:: 3 * 64] = False
    want = weights.T.astype(object) @ np.bincount(member[mask[:, 0]], minlength=64).astype(object)
    assert summed(mask, Draws(member, weights))[:, 0].tolist() == want.tolist()


def test_sums_of_more_clusters_than_are_multiplied_at_once():
    member = np.arange(10_000, dtype=np.int32)
    draws = drawn(member, 3, seed=0)
    mask = np.random.default_rng(3).random((10_000, 2)) < 0.5
    np.testing.assert_array_equal(summed(mask, draws), draws.weights.T.astype(float) @ mask)
