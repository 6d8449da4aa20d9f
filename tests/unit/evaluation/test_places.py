"""Scores of few patches against scikit-learn's, and their intervals against those of the table."""

import numpy as np
import pytest
from earthprobe.evaluation.clusters import Clusters
from earthprobe.evaluation.intervals import evaluated
from earthprobe.evaluation.metrics import OF_FEW
from earthprobe.evaluation.places import EDGES, bins_of, scored
from earthprobe.evaluation.runs import Run, of_all
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score, f1_score, fbeta_score


def drawn(size: int = 90, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.random((size, classes)) < 0.3
    targets[:, -1] = False  # a class that nothing has
    return targets, (0.4 * targets + 0.6 * rng.random((size, classes))).astype(np.float32)


def test_values_are_scikit_learns():
    targets, scores = drawn()
    found = scored(targets, [[scores]], Clusters("patch", [str(i) for i in range(90)]), 0.5, "multilabel", 100, 0)
    assert found.values == pytest.approx(
        {
            "map_micro": average_precision_score(targets, scores, average="micro"),
            "f2_micro": fbeta_score(targets, scores > 0.5, beta=2, average="micro"),
            "map_macro_occurring": average_precision_score(targets[:, :4], scores[:, :4]),
        }
    )
    assert (found.patches, found.positives, found.classes) == (90, targets.sum(), 4)


def test_values_of_one_class_a_patch_are_scikit_learns():
    rng = np.random.default_rng(1)
    true, scores = rng.integers(3, size=60), rng.random((60, 4)).astype(np.float32)
    targets, best = np.eye(4, dtype=bool)[true], scores.argmax(axis=1)
    found = scored(targets, [[scores]], Clusters("patch", [str(i) for i in range(60)]), 0.5, "single", 100, 0)
    assert found.values == pytest.approx(
        {
            "accuracy": accuracy_score(true, best),
            "balanced_accuracy": balanced_accuracy_score(true, best),
            "f1_macro_occurring": f1_score(true, best, labels=[0, 1, 2], average="macro"),
        }
    )


@pytest.mark.parametrize(("seeds", "repeats"), [(1, 1), (2, 3)])
def test_intervals_are_those_of_a_table(seeds: int, repeats: int):
    targets, _ = drawn()
    scores = [[drawn(seed=10 * seed + repeat)[1] for repeat in range(repeats)] for seed in range(seeds)]
    names = [f"tile {i % 30}" for i in range(90)]
    found = scored(targets, scores, Clusters("tile", names), 0.5, "multilabel", 200, 3)
    runs = [[Run(one, {"fixed": of_all(0.5, one)}, one, ()) for one in row] for row in scores]
    table = evaluated(targets, runs, names, "multilabel", 200, 3, calibration=False)
    assert set(found.intervals) == set(OF_FEW["multilabel"])
    for name, ends in found.intervals.items():
        assert ends == pytest.approx(table.overall[name])
        assert found.values[name] == pytest.approx(table.values[name])
    assert (found.clusters, found.kind) == (30, "tile")


@pytest.mark.parametrize(("size", "clusters"), [(19, 19), (40, 1)])
def test_few_patches_and_one_cluster_have_no_interval(size: int, clusters: int):
    targets, scores = drawn(size)
    names = [str(i % clusters) for i in range(size)]
    assert scored(targets, [[scores]], Clusters("tile", names), 0.5, "multilabel", 100, 0).intervals == {}


def test_a_distance_is_in_the_range_that_it_ends():
    km = np.array([0.0, 1.2, 1.3, 1.31, 200.0, 5000.0, np.nan])
    assert bins_of(km).tolist() == [0, 0, 0, 1, len(EDGES) - 3, len(EDGES) - 2, -1]
