"""Calibration against scikit-learn, and a temperature that is known."""

import numpy as np
import pytest
from earthprobe.evaluation.calibration import reliability, temperature, tempered
from scipy.special import expit, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss


def test_bins_are_scikit_learns():
    rng = np.random.default_rng(11)
    scores = rng.random((400, 6)).astype(np.float32)
    targets = rng.random((400, 6)) < scores**2
    bins = reliability(targets, scores)
    share, score = calibration_curve(targets.ravel(), scores.ravel(), n_bins=15)
    np.testing.assert_allclose([one.share for one in bins], share, rtol=1e-6)
    np.testing.assert_allclose([one.score for one in bins], score, rtol=1e-5)
    assert sum(one.pairs for one in bins) == 2400
    assert (bins[0].low, bins[-1].high) == (0, 1)
    assert reliability(targets[:1] & False, scores[:1] * 0)[7][2:] == (0, None, None)
    assert reliability(targets[:1], np.ones((1, 6), np.float32))[14].pairs == 6


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_of_scores_that_are_too_sure_is_found(heat: float):
    rng = np.random.default_rng(11)
    logits = rng.normal(size=(20_000, 5))
    targets = rng.random(logits.shape) < expit(logits)
    found = temperature(targets, expit(logits * heat).astype(np.float32), "multilabel")
    assert found == pytest.approx(heat, rel=0.05)
    # Scores are kept 1e-6 away from 0 and 1, which three times the logit of a few is not.
    np.testing.assert_allclose(tempered(expit(logits * heat), heat, "multilabel"), expit(logits), atol=5e-3)


def test_of_one_class_a_patch_the_softmax_is_tempered():
    rng = np.random.default_rng(11)
    logits = rng.normal(size=(20_000, 5)) * 2
    shares = softmax(logits, axis=1)
    true = (shares.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    scores = softmax(2 * logits, axis=1).astype(np.float32)
    found = temperature(np.eye(5, dtype=bool)[true], scores, "single")
    assert found == pytest.approx(2, rel=0.05)
    better = tempered(scores, found, "single")
    np.testing.assert_allclose(better.sum(axis=1), 1, rtol=1e-5)
    losses = [log_loss(true, tempered(scores, found * factor, "single")) for factor in (1, 0.9, 1.1)]
    assert min(losses) == losses[0]
    assert log_loss(true, better) < log_loss(true, scores)


def test_no_patch_gives_no_temperature_and_certain_scores_are_no_infinity():
    assert temperature(np.zeros((0, 3), bool), np.zeros((0, 3), np.float32), "multilabel") == 1
    certain = np.eye(3, dtype=np.float32)
    assert np.isfinite(temperature(~certain.astype(bool), certain, "multilabel"))
    assert np.isfinite(tempered(certain, 2.0, "single")).all()
