"""Retrieval against loops written from its definition, torchmetrics' definition and random orders."""

import numpy as np
import pytest
from earthprobe.evaluation import retrieval
from earthprobe.evaluation.retrieval import chance, figures, gains, there
from sklearn.metrics import jaccard_score


def sets(queries: int, patches: int, classes: int = 7, share: float = 0.25, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return rng.random((queries, classes)) < share, rng.random((patches, classes)) < share


def by_hand(query: np.ndarray, database: np.ndarray, order: np.ndarray, k: int) -> dict[str, float]:
    """AP@k, graded AP@k and precision@k, one patch after the other."""
    mine = set(np.flatnonzero(query))
    others = [set(np.flatnonzero(row)) for row in database]
    relevant = sum(bool(mine & other) for other in others)
    hits = graded = any_sum = graded_sum = 0.0
    for place, row in enumerate(order[:k], start=1):
        both, either = mine & others[row], mine | others[row]
        hits += bool(both)
        graded += len(both) / len(either) if either else 0
        if both:
            any_sum += hits / place
            graded_sum += graded / place
    most = min(k, len(order), relevant)
    return {
        "map_any": any_sum / most if most else 0,
        "map_jaccard": graded_sum / most if most else 0,
        "precision_any": hits / min(k, len(order)),
    }


@pytest.mark.parametrize("k", [100, 40])
@pytest.mark.parametrize("classes", [3, 7, 19])
def test_retrieval_equals_a_brute_force_loop(k: int, classes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retrieval, "AT_ONCE", 1000)  # some at a time
    queries, database = sets(60, 150, classes)
    queries[3], database[5] = False, False
    queries[7], database[:, 0] = [True] + [False] * (classes - 1), False  # asks for what there is not
    rng = np.random.default_rng(1)
    order = np.stack([rng.permutation(150) for _ in queries])
    found = figures(gains(queries, database, order[:, :k]), there(queries, database))
    for depth in (10, 100):
        want = [by_hand(query, database, row[:k], depth) for query, row in zip(queries, order, strict=True)]
        for name in want[0]:
            np.testing.assert_allclose(found[f"{name}_{depth}"], [one[name] for one in want], atol=1e-6)
    assert found["map_any_10"][7] == found["map_jaccard_100"][7] == 0


def test_the_jaccard_index_is_scikit_learns():
    queries, database = sets(20, 30, 19)
    found = gains(queries, database, np.tile(np.arange(30), (20, 1)))
    want = [[jaccard_score(query, row, zero_division=0) for row in database] for query in queries]
    np.testing.assert_allclose(found, want, atol=1e-6)
    known = there(queries, database)
    np.testing.assert_allclose(known.graded, np.sum(want, axis=1))
    np.testing.assert_array_equal(known.relevant, (np.array(want) > 0).sum(axis=1))


def test_a_perfect_order_is_one_and_a_late_hit_little():
    queries = np.array([[True, False]])
    database = np.array([[True, False]] * 3 + [[False, True]] * 200)
    known = there(queries, database)
    first = figures(gains(queries, database, np.arange(100)[None]), known)
    assert {first[name][0] for name in first if name.startswith("map")} == {1.0}
    late = figures(gains(queries, database, np.append(np.arange(100, 199), 0)[None]), known)
    assert late["map_any_10"][0] == 0
    # One hit of three, at the hundredth place: by the hits among 100 alone it would be three times as much.
    assert late["map_any_100"][0] == pytest.approx(1 / 100 / 3)


def test_chance_is_the_mean_over_random_orders():
    queries, database = sets(12, 130, 6)
    known = there(queries, database)
    rng = np.random.default_rng(2)
    drawn: dict[str, np.ndarray] = {}
    draws = 4000
    for _ in range(draws):
        order = rng.permuted(np.tile(np.arange(130), (12, 1)), axis=1)[:, :100]
        for name, values in figures(gains(queries, database, order), known).items():
            drawn[name] = drawn.get(name, 0) + values / draws
    for name, values in chance(known, 100).items():
        np.testing.assert_allclose(values, drawn[name], rtol=0.05, atol=0.004, err_msg=name)
