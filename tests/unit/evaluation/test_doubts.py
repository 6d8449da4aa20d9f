"""Doubts, held against cleanlab's own calls."""

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class
from earthprobe.evaluation.doubts import doubts


def scored(patches: int = 400, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.random((patches, classes)) < 0.3
    scores = 1 / (1 + np.exp(-np.where(targets, 2, -2) + rng.normal(size=targets.shape)))
    wrong = rng.random(targets.shape) < 0.05
    return targets ^ wrong, scores.astype(np.float32)


def test_they_are_cleanlabs_own():
    targets, scores = scored()
    labels = [np.flatnonzero(row).tolist() for row in targets]
    found = doubts(targets, scores)
    assert np.array_equal(found.doubted, find_multilabel_issues_per_class(labels, scores, n_jobs=1))
    assert found.doubted.any()
    np.testing.assert_allclose(found.quality, get_label_quality_scores_per_class(labels, scores), rtol=1e-6)
    # Each class is a question of its own, with the ranking of one of two classes.
    for number in range(targets.shape[1]):
        pair = np.column_stack([1 - scores[:, number], scores[:, number]])
        ranked = find_label_issues(
            targets[:, number].astype(int), pair, return_indices_ranked_by="self_confidence", n_jobs=1
        )
        mine = np.flatnonzero(found.doubted[:, number])
        assert np.array_equal(mine[np.argsort(found.quality[mine, number], kind="stable")], ranked)


def test_a_class_of_all_or_none_is_no_question():
    targets, scores = scored()
    targets[:, 1], targets[:, 2] = True, False
    found = doubts(targets, scores)
    assert not found.doubted[:, 1:3].any()
    np.testing.assert_allclose(found.quality[:, 1], scores[:, 1])
    np.testing.assert_allclose(found.quality[:, 2], 1 - scores[:, 2], rtol=1e-6)
