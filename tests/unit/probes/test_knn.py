"""The k nearest patches against brute force and scikit-learn's."""

from pathlib import Path

import numpy as np
import pytest
from earthprobe.probes import knn, search
from earthprobe.probes.interface import Data, Part
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

METRICS = ["l2", "cosine"]
TEMPERATURE = 0.07


def data_of(train: np.ndarray, test: np.ndarray, classes: int = 4, seed: int = 0) -> Data:
    """Data whose labels are random: a wrong neighbour is another score."""
    rng = np.random.default_rng(seed)
    parts = {}
    for split, features in (("train", train), ("val", test[::2]), ("test", test)):
        targets = rng.random((len(features), classes)) < np.linspace(0.2, 0.8, classes)
        parts[split] = Part([f"{split}{i}" for i in range(len(features))], features.astype(np.float32), targets)
    return Data(parts, np.zeros(train.shape[1], np.float32), np.ones(train.shape[1], np.float32))


def standardised(data: Data) -> Data:
    """As the step `train` standardises."""
    train = data.parts["train"].features
    mean, std = (f(train.astype(np.float64), axis=0).astype(np.float32) for f in (np.mean, np.std))
    parts = {split: Part(p.ids, (p.features - mean) / std, p.targets) for split, p in data.parts.items()}
    return Data(parts, mean, std)


def random_data(train: int = 700, test: int = 60, dimensions: int = 24, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    return data_of(rng.standard_normal((train, dimensions)), rng.standard_normal((test, dimensions)))


def brute_force(data: Data, metric: str, k: int, split: str = "test") -> np.ndarray:
    """Scores in double precision; of equally near train patches the earlier ones count."""
    train = data.parts["train"]
    x = train.features.astype(np.float64)
    scores = []
    for query in data.parts[split].features.astype(np.float64):
        if metric == "l2":
            distance = np.square(x - query).sum(axis=1)
        else:
            distance = -(x @ query) / (np.linalg.norm(x, axis=1) * np.linalg.norm(query))
        rows = np.argsort(distance.round(12), kind="stable")[:k]
        weights = np.ones(len(rows)) if metric == "l2" else np.exp(-distance[rows] / TEMPERATURE)
        scores.append(weights @ train.targets[rows] / weights.sum())
    return np.array(scores)


@pytest.fixture
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few patches at the same time that all that is done in pieces is."""
    monkeypatch.setattr(search, "QUERIES", 7)
    monkeypatch.setattr(search, "BLOCK", 5)
    monkeypatch.setattr(search, "CANDIDATES", 50)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 5, 20])
def test_scores_are_those_of_brute_force(metric: str, k: int):
    data = random_data()
    fitted = knn.fit(data, threads=1, metric=metric, k=k)
    for split in ("val", "test"):
        np.testing.assert_allclose(fitted.scores[split], brute_force(data, metric, k, split), atol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_scores_by_l2_are_scikit_learns(k: int):
    data = random_data(seed=1)
    train, test = data.parts["train"], data.parts["test"]
    theirs = KNeighborsClassifier(k, algorithm="brute").fit(train.features.astype(np.float64), train.targets)
    want = np.stack([p[:, 1] for p in theirs.predict_proba(test.features.astype(np.float64))], axis=1)
    np.testing.assert_allclose(knn.fit(data, threads=1, k=k).scores["test"], want, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_scores_by_cosine_are_weighted_by_similarity(temperature: float):
    data = random_data(seed=2)
    train, test = data.parts["train"], data.parts["test"]
    theirs = NearestNeighbors(n_neighbors=20, metric="cosine").fit(train.features.astype(np.float64))
    distance, rows = theirs.kneighbors(test.features.astype(np.float64))
    weights = np.exp((1 - distance) / temperature)
    want = (weights[:, :, None] * train.targets[rows]).sum(axis=1) / weights.sum(axis=1, keepdims=True)
    got = knn.fit(data, threads=1, metric="cosine", temperature=temperature).scores["test"]
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_five_neighbours_by_l2_and_twenty_by_cosine_unless_others_are_asked_for():
    data = random_data(test=10)
    for metric, k in (("l2", 5), ("cosine", 20)):
        unsaid, said = knn.fit(data, threads=1, metric=metric), knn.fit(data, threads=1, metric=metric, k=k)
        assert unsaid.chosen["k"] == said.chosen["k"] == k
        np.testing.assert_array_equal(unsaid.scores["test"], said.scores["test"])


def with_twins(train: np.ndarray, copies: int, seed: int = 3) -> np.ndarray:
    """Every patch that many times, in random order."""
    rows = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(train)), copies))
    return train[rows]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 4, 5, 20])
@pytest.mark.parametrize("copies", [2, 3, 5, 15, 40])
def test_of_equally_near_patches_the_earlier_counts(metric: str, k: int, copies: int):
    rng = np.random.default_rng(4)
    data = data_of(with_twins(rng.standard_normal((60, 16)), copies), rng.standard_normal((40, 16)))
    got = knn.fit(data, threads=2, metric=metric, k=k).scores["test"]
    np.testing.assert_allclose(got, brute_force(data, metric, k), atol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("values", [2, 3, 30])
def test_of_many_equally_near_patches_the_earlier_counts(k: int, values: int):
    """On a grid of whole numbers, where distances are exact and most patches have several at the same one."""
    rng = np.random.default_rng(5)
    train, test = (rng.integers(-values, values + 1, (count, 6)) for count in (900, 50))
    data = data_of(train, test)
    got = knn.fit(data, threads=2, k=k).scores["test"]
    np.testing.assert_allclose(got, brute_force(data, "l2", k), atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_patch_like_none_other_is_scored(metric: str):
    """One whose standardised embedding is zero has no direction: all are equally near, and the earlier count."""
    data = random_data(train=100, test=4)
    data.parts["test"].features[1] = 0
    data.parts["train"].features[7] = 0
    scores = knn.fit(data, threads=1, metric=metric, k=5).scores["test"]
    assert np.isfinite(scores).all()
    if metric == "cosine":
        np.testing.assert_allclose(scores[1], data.parts["train"].targets[:5].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("twins", [1, 3])
def test_threads_change_no_bit(metric: str, twins: int):
    rng = np.random.default_rng(6)
    data = data_of(with_twins(rng.standard_normal((2000, 96)), twins), rng.standard_normal((700, 96)), 19)
    one, two = (knn.fit(data, threads=threads, metric=metric).scores for threads in (1, 2))
    for split in ("val", "test"):
        np.testing.assert_array_equal(one[split], two[split])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("twins", [1, 3])
@pytest.mark.usefixtures("tiny_blocks")
def test_pieces_change_nothing(metric: str, k: int, twins: int):
    rng = np.random.default_rng(7)
    data = data_of(with_twins(rng.standard_normal((101, 24)), twins), rng.standard_normal((60, 24)))
    fitted = knn.fit(data, threads=2, metric=metric, k=k)
    for split in ("val", "test"):
        np.testing.assert_allclose(fitted.scores[split], brute_force(data, metric, k, split), atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("train", "k"), [(30, 30), (30, 25), (30, 10_000), (1, 5), (3, None)])
@pytest.mark.parametrize("pieces", [False, True])
def test_more_neighbours_than_there_are_patches(
    metric: str, train: int, k: int | None, pieces: bool, request: pytest.FixtureRequest
):
    if pieces:
        request.getfixturevalue("tiny_blocks")
    data = random_data(train=train, test=20)
    fitted = knn.fit(data, threads=1, metric=metric, k=k)
    assert fitted.chosen["k"] == min(k or 5, train)
    np.testing.assert_allclose(fitted.scores["test"], brute_force(data, metric, min(k or 5, train)), atol=1e-6)
    if metric == "l2" and k is not None and k >= train:
        share = data.parts["train"].targets.mean(axis=0)
        np.testing.assert_allclose(fitted.scores["test"], np.tile(share, (20, 1)), atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("offset", [0.0, 3.0, 1e4])
def test_a_saved_search_scores_raw_embeddings_the_same(metric: str, offset: float, tmp_path: Path):
    raw = random_data(seed=8)
    for part in raw.parts.values():
        part.features = (part.features * np.float32(2.5) + np.float32(offset)).astype(np.float32)
    data = standardised(raw)
    fitted = knn.fit(data, threads=2, metric=metric, k=7, temperature=0.2)
    fitted.save(tmp_path / "model.safetensors")
    again = knn.read(tmp_path / "model.safetensors")(raw.parts["test"].features)
    assert again.dtype == np.float32
    np.testing.assert_allclose(again, fitted.scores["test"], atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_huge_offsets_of_raw_embeddings_do_not_matter(metric: str, offset: float):
    raw = random_data(dimensions=64, seed=9)
    offsets = np.float32(offset) * np.linspace(-1, 1, 64, dtype=np.float32)
    for part in raw.parts.values():
        part.features = part.features + offsets
    data = standardised(raw)
    got = knn.fit(data, threads=2, metric=metric).scores["test"]
    np.testing.assert_allclose(got, brute_force(data, metric, knn.K[metric]), atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("offset", [10.0, 100.0])
def test_offsets_that_standardising_leaves_do_not_matter(metric: str, offset: float):
    """As of clusters far apart, whose patches differ little: a product in float32 loses the last digits."""
    data = random_data(dimensions=64, seed=10)
    for part in data.parts.values():
        part.features = part.features + np.float32(offset)
    got = knn.fit(data, threads=2, metric=metric).scores["test"]
    np.testing.assert_allclose(got, brute_force(data, metric, knn.K[metric]), atol=1e-6)


def test_queries_far_from_train_find_the_same_neighbours():
    data = random_data(dimensions=64, seed=11)
    data.parts["test"].features[:, 5] += 1e6  # a dimension that hardly varied in train
    got = knn.fit(data, threads=2).scores["test"]
    np.testing.assert_allclose(got, brute_force(data, "l2", 5), atol=1e-6)


def test_an_unknown_metric_is_an_error():
    with pytest.raises(ValueError, match="'l1' is not a metric: expected l2 or cosine"):
        knn.fit(random_data(), threads=1, metric="l1")
