"""Probes of patches that have one class each, against scikit-learn's, and through the steps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe import registry
from earthprobe.evaluation.metrics import SINGLE
from earthprobe.probes.budgets import ordered, shared
from earthprobe.probes.interface import Data, Part
from earthprobe.steps import evaluate, train
from earthprobe.storage.parquet import embedding_schema, read_metadata, with_metadata
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, f1_score, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

CLASSES = 10
SIZES = {"train": 600, "val": 150, "test": 250}


@pytest.fixture(scope="module")
def data() -> Data:
    """A synthetic set of ten classes, standardised by train."""
    x, y = make_classification(
        sum(SIZES.values()), 20, n_informative=12, n_classes=CLASSES, n_clusters_per_class=1, random_state=0
    )
    x = x.astype(np.float32)
    mean, std = x[:600].mean(0), x[:600].std(0)
    parts, start = {}, 0
    for split, size in SIZES.items():
        here = slice(start, start + size)
        ids = [f"p{i:04d}" for i in range(start, start + size)]
        parts[split] = Part(ids, (x[here] - mean) / std, np.eye(CLASSES, dtype=bool)[y[here]])
        start += size
    return Data(parts, mean, std, "single")


def of(data: Data, split: str) -> tuple[Any, Any]:
    part = data.parts[split]
    return part.features, part.targets.argmax(axis=1)


def fitted(kind: str, data: Data, **options: Any) -> np.ndarray:
    result = registry.load("probes", kind).fit(data, threads=2, **options)
    scores: np.ndarray = result.scores["test"]
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    return scores


@pytest.mark.parametrize(
    ("kind", "theirs"), [("random_forest", RandomForestClassifier), ("extra_trees", ExtraTreesClassifier)]
)
def test_forests(data: Data, kind: str, theirs: Any):
    want = theirs(20, random_state=3, n_jobs=2).fit(*of(data, "train")).predict_proba(of(data, "test")[0])
    got = fitted(kind, data, n_estimators=20, seed=3)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_linear(data: Data):
    strength = 0.01
    got = fitted("linear", data, strengths=[strength], max_iterations=2000)
    model = LogisticRegression(C=1 / (strength * 600), tol=1e-8, max_iter=5000).fit(*of(data, "train"))
    np.testing.assert_allclose(got, model.predict_proba(of(data, "test")[0]), atol=2e-4)


def test_linear_chooses_by_the_cross_entropy_of_val(data: Data):
    chosen = registry.load("probes", "linear").fit(data, threads=2, strengths=[1.0, 0.01, 0.0001]).chosen
    x, y = of(data, "val")
    losses = {}
    for strength in (1.0, 0.01, 0.0001):
        model = LogisticRegression(C=1 / (strength * 600), tol=1e-7, max_iter=5000).fit(*of(data, "train"))
        losses[strength] = -np.log(model.predict_proba(x)[np.arange(len(y)), y]).mean()
    assert chosen["strength"] == min(losses, key=losses.__getitem__)
    assert chosen["val_loss"] == pytest.approx(min(losses.values()), abs=2e-3)


def test_knn(data: Data):
    want = KNeighborsClassifier(7).fit(*of(data, "train")).predict_proba(of(data, "test")[0])
    np.testing.assert_allclose(fitted("knn", data, k=7), want, atol=1e-6)


def test_mlp_is_better_than_linear_where_classes_are_not_linear(data: Data):
    y = of(data, "test")[1]
    perceptron = fitted("mlp", data, hidden=[128], learning_rate=0.003, max_epochs=40)
    straight = fitted("linear", data)
    assert accuracy_score(y, perceptron.argmax(1)) > accuracy_score(y, straight.argmax(1)) > 0.5


@pytest.mark.parametrize("kind", registry.names("probes"))
def test_a_saved_model_gives_the_same_probabilities(data: Data, kind: str, tmp_path: Path):
    module = registry.load("probes", kind)
    result = module.fit(data, threads=2)
    result.save(tmp_path / "m.safetensors")
    raw = data.parts["test"].features * data.std + data.mean
    np.testing.assert_allclose(module.read(tmp_path / "m.safetensors")(raw), result.scores["test"], atol=1e-4)


def test_a_class_that_train_lacks_scores_low(data: Data):
    kept = ~data.parts["train"].targets[:, 3]
    part = data.parts["train"].where(kept)
    some = Data({**data.parts, "train": part}, data.mean, data.std, "single")
    for kind in registry.names("probes"):
        assert fitted(kind, some)[:, 3].max() < 0.2, kind


# Through the steps ----------------------------------------------------------------------------------------------------


def files(data: Data, folder: Path, folds: bool = False) -> tuple[Path, Path]:
    """Features and index as the workflow has them."""
    ids = [patch_id for part in data.parts.values() for patch_id in part.ids]
    splits = [split for split, part in data.parts.items() for _ in part.ids]
    vectors = np.concatenate([part.features for part in data.parts.values()])
    labels = np.concatenate([part.targets.argmax(1) for part in data.parts.values()])
    schema = with_metadata(
        embedding_schema(20), {"archive": "x", "simulated": False, "weights": "random:0", "bands": ["VV"], "kind": "x"}
    )
    table = pa.table([pa.array(ids), pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 20)], schema=schema)
    pq.write_table(table, folder / "features.parquet")
    frame = pl.DataFrame(
        {"patch_id": ids, "split": splits, "group": [f"g{i // 5}" for i in range(len(ids))]}
    ).with_columns(
        pl.lit(None, pl.String).alias("tile"),
        pl.lit(None, pl.Int16).alias("column"),
        pl.lit(None, pl.Int16).alias("row"),
        labels_own=pl.Series([[int(i)] for i in labels], dtype=pl.List(pl.UInt8)),
    )
    said: dict[str, Any] = {"folds": None}
    if folds:
        rng = np.random.default_rng(0)
        of_group = np.stack([rng.permutation(np.arange(200) % 4) for _ in range(3)], axis=1)
        numbers = np.repeat(of_group, 5, axis=0).tolist()
        frame = frame.with_columns(split=pl.lit("train"), folds=pl.Series(numbers, dtype=pl.List(pl.UInt8)))
        said = {"folds": {"folds": 4, "repeats": 3, "seed": 0}}
    arrow = frame.to_arrow()
    metadata = {
        "classes": {"own": [f"c{i}" for i in range(CLASSES)]},
        "tasks": {"own": "single"},
        "classes_left_out": {},
        "rejected": [],
        **said,
    }
    pq.write_table(arrow.cast(with_metadata(arrow.schema, metadata)), folder / "index.parquet")
    return folder / "features.parquet", folder / "index.parquet"


def run(
    data: Data, folder: Path, folds: bool, probe: str = '{"kind": "knn", "k": 7}', **options: Any
) -> dict[str, Any]:
    features, index = files(data, folder, folds)
    train.run(
        probe=probe,
        features=features,
        index=index,
        label_set="own",
        threads=2,
        scores=folder / "scores.parquet",
        model=folder / "model.safetensors",
        **options,
    )
    evaluate.run(
        scores=[folder / "scores.parquet"],
        index=index,
        threshold=0.5,
        metrics=[folder / "m.json"],
        per_class=[folder / "c.csv"],
        drawn=[folder / "d.parquet"],
        calibration=[folder / "b.csv"],
    )
    result: dict[str, Any] = json.loads((folder / "m.json").read_text())
    return result


def test_metrics_are_scikit_learns(data: Data, tmp_path: Path):
    result = run(data, tmp_path, folds=False)
    y = of(data, "test")[1]
    scores = KNeighborsClassifier(7).fit(*of(data, "train")).predict_proba(of(data, "test")[0])
    best = pl.read_parquet(tmp_path / "scores.parquet").filter(pl.col("split") == "test")["scores"].to_numpy()
    predicted = best.argmax(1)
    assert (predicted == scores.argmax(1)).mean() > 0.99
    test = result["test"]
    assert test["accuracy"] == pytest.approx(accuracy_score(y, predicted))
    assert test["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, predicted))
    assert test["f1_macro"] == pytest.approx(f1_score(y, predicted, average="macro"))
    assert test["kappa"] == pytest.approx(cohen_kappa_score(y, predicted))
    untied = best + np.linspace(0, 1e-7, CLASSES)  # top_k_accuracy_score takes the last of equals
    assert test["top5_accuracy"] >= top_k_accuracy_score(y, untied, k=5) - 1e-9
    assert {metric.name for metric in SINGLE} <= test.keys()
    table = pl.read_csv(tmp_path / "c.csv")
    assert table["support"].sum() == 250
    assert table["tp"].sum() == (predicted == y).sum()
    assert result["task"] == "single"


def test_every_patch_is_scored_once_a_repeat_by_what_has_not_seen_its_group(data: Data, tmp_path: Path):
    result = run(data, tmp_path, folds=True)
    table = pl.read_parquet(tmp_path / "scores.parquet")
    index = pl.read_parquet(tmp_path / "index.parquet")
    assert table["patch_id"].to_list() == index["patch_id"].to_list() * 6
    assert table["split"].to_list() == ["test"] * 3000 + ["val"] * 3000
    whole, table = table, table.filter(pl.col("split") == "test")
    vectors = np.concatenate([part.features for part in data.parts.values()])
    labels = np.concatenate([part.targets.argmax(1) for part in data.parts.values()])
    numbers = np.array(index["folds"].to_list())
    accuracies = []
    for repeat in range(3):
        right = np.zeros(1000, bool)
        for fold in range(4):
            test, val = numbers[:, repeat] == fold, numbers[:, repeat] == (fold + 1) % 4
            here = ~(test | val)
            mean, std = vectors[here].mean(0), vectors[here].std(0)
            model = KNeighborsClassifier(7).fit((vectors[here] - mean) / std, labels[here])
            right[test] = model.predict((vectors[test] - mean) / std) == labels[test]
        accuracies.append(right.mean())
        got = table.filter(pl.col("repeat") == repeat)
        assert got["fold"].to_list() == numbers[:, repeat].tolist()
        chose = whole.filter((pl.col("repeat") == repeat) & (pl.col("split") == "val"))
        assert chose["fold"].to_list() == ((numbers[:, repeat] - 1) % 4).tolist()
        mine = got["scores"].to_numpy().argmax(1) == labels
        assert mine.mean() == pytest.approx(right.mean(), abs=0.01)
    assert result["test"]["accuracy"] == pytest.approx(np.mean(accuracies), abs=0.01)
    assert [one["accuracy"] for one in result["repeats"]] == pytest.approx(accuracies, abs=0.01)
    low, high = result["intervals"]["accuracy"]
    assert low < result["test"]["accuracy"] < high
    by = {"level": 0.95, "draws": 1000, "seed": 0, "cluster": "group", "clusters": 200, "repeats": 3}
    assert result["intervals_by"] == by
    assert result["test"]["patches"] == 1000
    # By which probes are chosen: each patch once a repeat, by the probe that chose on it.
    chosen = whole.filter(pl.col("split") == "val")
    right = chosen["scores"].to_numpy().argmax(1) == np.tile(labels, 3)
    assert result["val"]["accuracy"] == pytest.approx(right.mean())
    assert result["val"]["patches"] == 3000
    said = read_metadata(tmp_path / "scores.parquet")
    assert len(said["chosen_by_fold"]) == 12
    assert said["unseen_classes"] == {}


def test_a_budget_is_drawn_several_times_and_scored_by_what_it_bought(data: Data, tmp_path: Path):
    result = run(data, tmp_path, folds=False, budget=60, draws=3)
    table = pl.read_parquet(tmp_path / "scores.parquet")
    train_part, val, test = (data.parts[split] for split in ("train", "val", "test"))
    places = {patch_id: f"g{i // 5}" for i, patch_id in enumerate(train_part.ids)}
    labels = [part.targets.argmax(1) for part in (train_part, val, test)]
    few = shared(60, len(train_part.ids), len(val.ids))
    rates = []
    for draw in range(3):
        order = ordered(train_part.targets, [places[name] for name in train_part.ids], (draw, 0))
        taken = np.sort(order[:60])
        mean, std = train_part.features[taken].mean(0), train_part.features[taken].std(0)
        model = KNeighborsClassifier(7).fit((train_part.features[taken] - mean) / std, labels[0][taken])
        rates.append((model.predict((test.features - mean) / std) == labels[2]).mean())
        here = table.filter(pl.col("repeat") == draw)
        assert here.filter(pl.col("split") == "test")["patch_id"].to_list() == test.ids
        assert here.filter(pl.col("split") == "val").height == few
        smaller = ordered(train_part.targets, [places[name] for name in train_part.ids], (draw, 0))[:20]
        assert set(smaller) <= set(order[:60])
    assert [one["accuracy"] for one in result["repeats"]] == pytest.approx(rates, abs=0.015)
    assert result["intervals_by"]["repeats"] == 3
    assert (result["label_budget"], result["patches"]["train"]) == (60, 60)
    low, high = result["intervals"]["accuracy"]
    assert low < result["test"]["accuracy"] < high
    whole = run(data, tmp_path, folds=False)
    assert whole["test"]["accuracy"] > result["test"]["accuracy"]


def test_a_budget_that_is_larger_than_train_takes_all(data: Data, tmp_path: Path):
    result = run(data, tmp_path, folds=False, budget=10**6, draws=2)
    assert result["patches"]["train"] == len(data.parts["train"].ids)
    assert result["repeats"][0] == result["repeats"][1]


def test_with_folds_each_fit_draws_its_own(data: Data, tmp_path: Path):
    result = run(data, tmp_path, folds=True, budget=40)
    assert result["patches"]["train"] == 40
    assert result["intervals_by"]["repeats"] == 3
    table = pl.read_parquet(tmp_path / "scores.parquet")
    assert table.filter(pl.col("split") == "test").height == 3000
    whole = run(data, tmp_path, folds=True)
    assert whole["test"]["accuracy"] > result["test"]["accuracy"]
