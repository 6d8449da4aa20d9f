"""Comparisons: p values and Holm's correction on known cases, and how often equals are told apart."""

import numpy as np
import pytest
from earthprobe.evaluation.comparison import Figure, difference, holm, p_value
from earthprobe.evaluation.intervals import evaluated
from earthprobe.evaluation.metrics import overall
from earthprobe.evaluation.runs import plain


def test_holms_p_values_are_the_textbooks():
    # Holm 1979: the smallest of four times four, the next times three, and none below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_p_value_counts_draws_that_are_further_from_their_mean():
    draws = np.arange(-50, 51) / 10  # symmetric about 0
    assert p_value(draws + 3, 4.0) == pytest.approx((1 + 22) / 102)  # |d - 3| >= 4: 11 on each side
    assert p_value(draws, 100.0) == pytest.approx(1 / 102)


def test_a_difference_is_on_the_same_draws():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=500)  # what both find hard
    found = difference(Figure(0.6, 0.6 + hard + 1e-3 * rng.normal(size=500)), Figure(0.5, 0.5 + hard))
    assert found.value == pytest.approx(0.1)
    assert found.interval[0] > 0.09
    assert found.p == pytest.approx(1 / 501)


def test_two_equal_models_are_told_apart_in_about_5_of_100():
    rng, metrics = np.random.default_rng(7), ("f2_macro", "map_macro")
    apart = dict.fromkeys(metrics, 0)
    tiles = np.repeat(np.arange(50), 8)
    for _ in range(120):
        tilt = rng.normal(size=(50, 4))
        targets = rng.random((400, 4)) < 1 / (1 + np.exp(-(tilt[tiles] - 1)))
        found = []
        for _ in range(2):
            own = 0.7 * rng.normal(size=(50, 4))[tiles] + rng.normal(size=(400, 4))
            scores = (1 / (1 + np.exp(-(1.2 * targets + own - 0.8)))).astype(np.float32)
            sure = evaluated(targets, [[plain(scores, 0.5)]], tiles, "multilabel", draws=300)
            values = overall(targets, scores, 0.5)
            found.append({name: Figure(values[name], sure.draws[name], sure.left_out.get(name)) for name in metrics})
        for name in metrics:
            apart[name] += difference(found[0][name], found[1][name]).p < 0.05
    assert all(1 <= count <= 14 for count in apart.values()), apart
