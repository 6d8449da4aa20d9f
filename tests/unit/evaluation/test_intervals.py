"""Intervals: SciPy's BCa, and coverage of a known truth."""

import numpy as np
import pytest
import scipy.stats
from earthprobe.evaluation.intervals import corrected, evaluated, interval
from earthprobe.evaluation.metrics import overall
from earthprobe.evaluation.runs import plain

from tests.unit.evaluation.test_resampling import case


def test_intervals_are_seeded_and_hold_the_figure():
    targets, scores = case("single", 300)
    groups = [f"g{i // 10}" for i in range(300)]
    found = evaluated(targets, [[plain(scores, 0.5)]], groups, "single")
    again = evaluated(targets, [[plain(scores, 0.5)]], groups, "single")
    assert (found.overall, found.by_class, found.clusters) == (again.overall, again.by_class, 30)
    assert found.overall != evaluated(targets, [[plain(scores, 0.5)]], groups, "single", seed=1).overall
    low, high = found.overall["accuracy"]
    assert low < overall(targets, scores, 0.5, "single")["accuracy"] < high
    assert found.draws["accuracy"].shape == (1000,)
    assert len(found.by_class) == targets.shape[1]


def test_a_bca_interval_is_scipys():
    data = np.random.default_rng(1).lognormal(size=60)
    result = scipy.stats.bootstrap((data,), np.mean, n_resamples=4000, method="BCa", random_state=2)
    left_out = np.array([np.delete(data, i).mean() for i in range(60)])
    got = interval(result.bootstrap_distribution, data.mean(), left_out)
    # Of SciPy's own draws, so that quantiles of 4,000 values are all that differs.
    assert got == pytest.approx(tuple(result.confidence_interval), abs=5e-3)
    percentiles = interval(result.bootstrap_distribution, data.mean())
    assert got[0] > percentiles[0] and got[1] > percentiles[1]  # noqa: PT018 - one fact: it moves up


def test_without_bias_or_skewness_a_bca_interval_is_that_of_percentiles():
    values = np.linspace(-1, 1, 2001)
    tails = np.array([0.025, 0.975])
    np.testing.assert_allclose(corrected(tails, values, 0.0, np.array([-1.0, 0.0, 1.0])), tails, atol=1e-3)


def test_average_precision_is_corrected_downwards():
    """A draw repeats patches, and a positive beside itself is found at once: percentiles lie too high."""
    rng = np.random.default_rng(0)
    targets = np.stack([rng.permutation(400) < 10 for _ in range(19)], axis=1)
    scores = (targets * 0.2 + rng.random((400, 19))).astype(np.float32)
    found = evaluated(targets, [[plain(scores, 0.5)]], np.arange(400), "multilabel")
    estimate = overall(targets, scores, 0.5)["map_macro"]
    percentiles = interval(found.draws["map_macro"], estimate)
    low, high = found.overall["map_macro"]
    assert found.draws["map_macro"].mean() > estimate
    assert (low, high) < percentiles
    assert low < estimate < high


def test_the_truth_lies_in_95_of_100_intervals():
    """The accuracy of patches that come in groups of equals, by which patches alone would be far too sure."""
    rng, inside, narrow = np.random.default_rng(5), 0, 0
    for _ in range(200):
        right = np.repeat(rng.random(60) < 0.7, 8)
        targets = np.tile([True, False], (480, 1))
        scores = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]).astype(np.float32)
        groups = np.repeat(np.arange(60), 8)
        low, high = evaluated(targets, [[plain(scores, 0.5)]], groups, "single", draws=300).overall["accuracy"]
        inside += low <= 0.7 <= high
        low, high = evaluated(targets, [[plain(scores, 0.5)]], np.arange(480), "single", draws=300).overall["accuracy"]
        narrow += low <= 0.7 <= high
    assert 183 <= inside <= 198
    assert narrow < 150


def test_repeats_that_differ_widen_an_interval():
    targets, scores = case("multilabel", 200)
    other = case("multilabel", 200, seed=4)[1]
    groups = np.arange(200)
    alike = evaluated(targets, [[plain(scores, 0.5), plain(scores, 0.5)]], groups, "multilabel").overall["map_macro"]
    apart = evaluated(targets, [[plain(scores, 0.5), plain(other, 0.5)]], groups, "multilabel").overall["map_macro"]
    assert apart[1] - apart[0] > 1.5 * (alike[1] - alike[0])


def test_a_calibration_error_is_never_below_zero():
    """Of scores that promise the truth, a draw's error is all chance, and greater than the figure."""
    targets = np.tile([[True, False], [False, True], [False, False], [False, False]], (60, 1))
    scores = np.full(targets.shape, 0.25, np.float32)
    found = evaluated(targets, [[plain(scores, 0.5)]], np.arange(240), "multilabel")
    assert found.values["ece_macro"] < 1e-6
    low, high = found.overall["ece_macro"]
    assert 0 == low < high < 0.05
