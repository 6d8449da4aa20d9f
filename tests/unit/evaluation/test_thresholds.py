"""Tuned thresholds against a search of every cut."""

import numpy as np
import pytest
from earthprobe.evaluation.thresholds import tuned
from sklearn.metrics import fbeta_score


def case(patches: int = 120, classes: int = 5, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    targets = rng.random((patches, classes)) < rng.uniform(0.05, 0.6, classes)
    scores = np.clip(0.3 * targets + rng.normal(0.3, 0.2, targets.shape), 0, 1).round(digits).astype(np.float32)
    return targets, scores


def f2(targets: np.ndarray, predicted: np.ndarray) -> float:
    return fbeta_score(targets, predicted, beta=2, average="macro", zero_division=0)


@pytest.mark.parametrize("digits", [1, 2, 7])
def test_both_reach_what_the_best_of_all_cuts_reaches(digits: int):
    targets, scores = case(digits=digits)
    found = tuned(targets, scores, 0.5, fewest=0)
    cuts = np.append(np.unique(scores), np.float32(-1))
    assert f2(targets, scores > found.overall) == pytest.approx(
        max(f2(targets, scores > cut) for cut in cuts), abs=1e-12
    )
    for k in range(5):
        mine = fbeta_score(targets[:, k], scores[:, k] > found.per_class[k], beta=2, zero_division=0)
        best = max(fbeta_score(targets[:, k], scores[:, k] > cut, beta=2, zero_division=0) for cut in cuts)
        assert mine == pytest.approx(best, abs=1e-12)


def test_a_class_with_few_positives_takes_the_threshold_of_all():
    targets, scores = case()
    support = targets.sum(axis=0)
    few = int(np.sort(support)[2])  # two classes have fewer
    found = tuned(targets, scores, 0.5, fewest=few)
    assert ((found.per_class == found.overall) >= (support < few)).all()
    own = tuned(targets, scores, 0.5, fewest=0)
    np.testing.assert_array_equal(found.per_class[support >= few], own.per_class[support >= few])
    assert (own.per_class != own.overall).sum() >= 4


def test_without_a_positive_nothing_is_tuned():
    scores = case()[1]
    found = tuned(np.zeros(scores.shape, bool), scores, 0.4)
    assert (found.overall, set(found.per_class.tolist())) == (np.float32(0.4), {float(np.float32(0.4))})
    assert tuned(np.zeros((0, 5), bool), np.zeros((0, 5), np.float32), 0.4).overall == np.float32(0.4)


def test_scores_that_are_all_alike_are_predicted_or_not():
    targets = np.tile([True, False], (60, 1))
    found = tuned(targets, np.zeros((60, 2), np.float32), 0.5)
    assert found.per_class[0] < 0
    neighbours = np.float32([0.5, np.nextafter(np.float32(0.5), np.float32(1))])
    scores = np.repeat(neighbours[::-1], 60)[:, None]
    found = tuned(np.repeat([True, False], 60)[:, None], scores, 0.5)
    assert (scores[:, 0] > found.per_class[0]).tolist() == [True] * 60 + [False] * 60
