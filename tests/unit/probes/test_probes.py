"""The three probes behind their common interface."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from earthprobe.errors import UserError
from earthprobe.files import read_metadata, with_metadata
from earthprobe.index import SCHEMA as INDEX_SCHEMA
from earthprobe.probes import forest, linear, mlp
from earthprobe.probes.train import Data, Fit, Part, load, train
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

CLASSES = 5
FOREST = {"kind": "random_forest", "n_estimators": 10, "max_depth": None, "min_samples_leaf": 1, "seed": 0}
LINEAR = {"kind": "linear", "strengths": [1.0, 0.1, 0.01, 0.001], "max_iterations": 500}
MLP = {
    "kind": "mlp",
    "hidden": [16],
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "dropout": 0.1,
    "batch_size": 64,
    "max_epochs": 40,
    "patience": 5,
    "seed": 0,
}
EXTRA = {**FOREST, "kind": "extra_trees"}
PROBES = [(forest.fit, FOREST), (forest.fit, EXTRA), (linear.fit, LINEAR), (mlp.fit, MLP)]


def targets_of(features: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Class 0 is linear, 1 needs two features at once, 2 is noise, 3 never occurs, 4 always."""
    return np.stack(
        [
            features[:, 0] + 0.5 * noise[:, 0] > 0,
            features[:, 1] * features[:, 2] + 0.2 * noise[:, 1] > 0,
            noise[:, 2] > 1,
            np.zeros(len(features), dtype=bool),
            np.ones(len(features), dtype=bool),
        ],
        axis=1,
    )


@pytest.fixture
def data() -> Data:
    rng = np.random.default_rng(0)
    parts = {}
    for split, count in (("train", 900), ("val", 300), ("test", 300)):
        features = rng.standard_normal((count, 8)).astype(np.float32)
        targets = targets_of(features, rng.standard_normal((count, 3)))
        parts[split] = Part([f"{split}{i:04d}" for i in range(count)], features, targets)
    return Data(parts, np.zeros(8, np.float32), np.ones(8, np.float32))


@pytest.mark.parametrize(("fit", "probe"), PROBES, ids=lambda p: p["kind"] if isinstance(p, dict) else "")
def test_scores_are_probabilities_and_repeatable(data: Data, fit: Fit, probe: dict):
    first, second = fit(data, probe, 1), fit(data, probe, 2)
    for split in ("val", "test"):
        scores = first.scores[split]
        assert scores.shape == (300, CLASSES)
        assert scores.dtype == np.float32
        assert (scores >= 0).all()
        assert (scores <= 1).all()
        np.testing.assert_allclose(scores, second.scores[split], atol=1e-4)
        # A class that train has never, or always, is predicted so.
        assert (scores[:, 3] < 0.05).all()
        assert (scores[:, 4] > 0.95).all()
        assert average_precision_score(data.parts[split].targets[:, 0], scores[:, 0]) > 0.85
    json.dumps(first.chosen)


@pytest.mark.parametrize(("fit", "probe"), PROBES, ids=lambda p: p["kind"] if isinstance(p, dict) else "")
def test_test_labels_are_never_seen(data: Data, fit: Fit, probe: dict):
    before = fit(data, probe, 1).scores["test"]
    data.parts["test"].targets[:] = ~data.parts["test"].targets
    np.testing.assert_array_equal(fit(data, probe, 1).scores["test"], before)


@pytest.mark.parametrize("kind", ["random_forest", "extra_trees"])
@pytest.mark.parametrize("options", [{}, {"min_samples_leaf": 7}, {"max_depth": 4, "seed": 3}], ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_the_forest_is_scikit_learns_bit_for_bit(data: Data, kind: str, options: dict, threads: int):
    settings = {"max_depth": None, "min_samples_leaf": 1, "seed": 0} | options
    model = {"random_forest": RandomForestClassifier, "extra_trees": ExtraTreesClassifier}[kind]
    arguments = {key: value for key, value in settings.items() if key != "seed"}
    theirs = model(n_estimators=10, random_state=settings["seed"], **arguments).fit(
        data.parts["train"].features, data.parts["train"].targets
    )
    ours = forest.fit(data, {**FOREST, **settings, "kind": kind}, threads)
    for split in ("val", "test"):
        probabilities = theirs.predict_proba(data.parts[split].features)
        for index in (0, 1, 2):
            want = probabilities[index][:, 1].astype(np.float32)
            np.testing.assert_array_equal(ours.scores[split][:, index], want)
        assert (ours.scores[split][:, 3] == 0).all()
        assert (ours.scores[split][:, 4] == 1).all()
    assert ours.chosen["nodes"] == sum(tree.tree_.node_count for tree in theirs.estimators_)


@pytest.mark.parametrize("probe", [FOREST, {**FOREST, "min_samples_leaf": 7}, EXTRA], ids=str)
def test_a_saved_forest_scores_as_it_did(data: Data, probe: dict, tmp_path: Path):
    data.mean[:], data.std[:] = 2, 3
    fitted = forest.fit(data, probe, 2)
    fitted.save(tmp_path / "model.safetensors")
    model = forest.Forest.read(tmp_path / "model.safetensors")
    assert len(model.trees) == 10
    raw = data.parts["test"].features * data.std + data.mean
    again = model.scores(raw)
    # Undoing the standardising moves a value by a rounding error, which may move it over a threshold.
    same = np.isclose(again, fitted.scores["test"], atol=1e-6).all(axis=1)
    assert same.mean() > 0.98
    assert again.dtype == np.float32


def test_thresholds_of_single_precision_decide_as_those_of_double(data: Data):
    train = data.parts["train"]
    theirs = RandomForestClassifier(n_estimators=1, random_state=0).fit(train.features, train.targets)
    tree = theirs.estimators_[0].tree_
    compact, _ = forest.shrink(tree, theirs.classes_)
    inner = tree.feature >= 0
    exact = tree.threshold[inner]
    assert (compact.threshold[inner] <= exact).all()
    assert (np.nextafter(compact.threshold[inner], np.float32(np.inf)) > exact).all()
    model = forest.Forest([compact], np.zeros(8, np.float32), np.ones(8, np.float32))
    on_edges = np.repeat(exact[:, None].astype(np.float32), 8, axis=1)  # values at the thresholds themselves
    want = np.stack([p[:, -1] for p in theirs.predict_proba(on_edges)], axis=1)
    np.testing.assert_allclose(model.scores(on_edges)[:, :3], want[:, :3], atol=1e-6)


def test_trees_that_grow_at_once_share_the_memory_that_there_is():
    one = forest.most_bytes(269_695, 43, bootstrap=True)
    assert 0.4e9 < one < 0.6e9
    assert forest.GROWING // one == 5
    assert forest.most_bytes(269_695, 19, bootstrap=True) < one / 2


@pytest.mark.parametrize("strength", LINEAR["strengths"])
def test_linear_equals_scikit_learns_logistic_regression(data: Data, strength: float):
    ours = linear.fit(data, {**LINEAR, "strengths": [strength]}, 1).scores["test"]
    x, y = data.parts["train"].features.astype(np.float64), data.parts["train"].targets
    for index in (0, 1, 2):
        theirs = LogisticRegression(C=1 / (strength * len(x)), tol=1e-8, max_iter=5000).fit(x, y[:, index])
        want = theirs.predict_proba(data.parts["test"].features.astype(np.float64))[:, 1]
        np.testing.assert_allclose(ours[:, index], want, atol=1e-3)


def test_linear_keeps_the_strength_with_the_lowest_loss_on_val(data: Data):
    chosen = linear.fit(data, LINEAR, 1).chosen
    losses = {t["strength"]: t["val_loss"] for t in chosen["tried"]}
    assert list(losses) == sorted(LINEAR["strengths"], reverse=True)
    assert chosen["strength"] == min(losses, key=losses.get)
    assert chosen["val_loss"] == min(losses.values())


@pytest.mark.parametrize(("fit", "probe"), PROBES[2:], ids=["linear", "mlp"])
def test_choices_are_made_on_val(data: Data, fit: Fit, probe: dict):
    fitted = fit(data, probe, 1)
    assert fitted.chosen["val_loss"] == pytest.approx(log_loss(data.parts["val"], fitted.scores["val"]), rel=1e-4)
    # Other labels of val lead to another choice, or at least to another loss; the fit on train stays.
    data.parts["val"].targets[:] = np.random.default_rng(9).random(data.parts["val"].targets.shape) < 0.5
    assert fit(data, probe, 1).chosen["val_loss"] > fitted.chosen["val_loss"] + 0.1


def log_loss(part: Part, scores: np.ndarray) -> float:
    p = np.clip(scores.astype(np.float64), 1e-12, 1 - 1e-12)
    return float(-np.where(part.targets, np.log(p), np.log(1 - p)).mean())


def test_mlp_stops_early_and_beats_linear_where_classes_are_not_linear(data: Data):
    fitted = mlp.fit(data, MLP, 1)
    losses = fitted.chosen["val_losses"]
    best = int(np.argmin(losses)) + 1
    assert fitted.chosen["epoch"] == best
    assert len(losses) == min(best + MLP["patience"], MLP["max_epochs"])
    target = data.parts["test"].targets[:, 1]
    curved = average_precision_score(target, fitted.scores["test"][:, 1])
    straight = average_precision_score(target, linear.fit(data, LINEAR, 1).scores["test"][:, 1])
    assert curved > straight + 0.2


@pytest.mark.parametrize("fit", [linear.fit, mlp.fit])
def test_saved_tensors_reproduce_the_scores(data: Data, fit: Fit, tmp_path: Path):
    fitted = fit(data, LINEAR if fit is linear.fit else MLP, 1)
    fitted.save(tmp_path / "model.safetensors")
    stored = safetensors.torch.load_file(tmp_path / "model.safetensors")
    x = (torch.from_numpy(data.parts["test"].features) - stored.pop("mean")) / stored.pop("std")
    if fit is linear.fit:
        logits = x @ stored["weight"].T + stored["bias"]
    else:
        model = mlp.build(8, MLP["hidden"], CLASSES, 0)
        model.load_state_dict(stored)
        logits = model(x)
    np.testing.assert_allclose(torch.sigmoid(logits).detach().numpy(), fitted.scores["test"], atol=1e-5)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Features of eight patches, and an index of nine."""
    rng = np.random.default_rng(1)
    ids = [f"p{i}" for i in range(9)]
    vectors = rng.normal(3, 2, (8, 4)).astype(np.float32)
    vectors[:, 3] = 1.5  # does not vary
    schema = with_metadata(
        pa.schema([("patch_id", pa.string()), ("embedding", pa.list_(pa.float32(), 4))]), {"weights": "random:0"}
    )
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4)
    pq.write_table(pa.table([pa.array(ids[:8]), column], schema=schema), tmp_path / "features.parquet")
    splits = ["train", "val", "test"] * 3
    labels = [[i % 3] if i else [] for i in range(9)]
    rows = {
        "patch_id": ids,
        "s2_id": ids,
        "split": splits,
        "labels_43": [None] * 9,
        "labels_19": labels,
        "country": [None] * 9,
        "shard": [0] * 9,
        "folder": ids,
    }
    classes = {"19": ["a", "b", "c"], "43": ["x"]}
    schema = with_metadata(INDEX_SCHEMA, {"classes": classes, "rejected": [["p8", "test", "x"]]})
    pq.write_table(pa.table(rows, schema=schema), tmp_path / "index.parquet")
    return tmp_path / "features.parquet", tmp_path / "index.parquet"


def test_loading_joins_and_standardises(files: tuple[Path, Path]):
    data, source = load(*files, 19, 3)
    assert source["weights"] == "random:0"
    assert {s: p.ids for s, p in data.parts.items()} == {
        "train": ["p0", "p3", "p6"],
        "val": ["p1", "p4", "p7"],
        "test": ["p2", "p5"],
    }
    assert data.parts["train"].targets.tolist() == [[False] * 3, [True, False, False], [True, False, False]]
    assert data.parts["test"].targets.tolist() == [[False, False, True], [False, False, True]]
    train_features = data.parts["train"].features
    np.testing.assert_allclose(train_features.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train_features[:, :3].std(axis=0), 1, atol=1e-6)
    assert (train_features[:, 3] == 0).all()
    raw = pq.read_table(files[0])["embedding"].to_pylist()
    want = (np.array(raw[1]) - data.mean) / data.std
    np.testing.assert_allclose(data.parts["val"].features[0], want, rtol=1e-5)


def test_a_patch_without_readable_labels_is_left_out_of_training(files: tuple[Path, Path]):
    features, index = files
    table = pq.read_table(index).filter(pc.field("patch_id") != "p3")

    def rewrite(rejected: list[list[str]]) -> None:
        metadata = {"classes": {"19": ["a", "b", "c"]}, "rejected": rejected}
        pq.write_table(table.cast(with_metadata(INDEX_SCHEMA, metadata)), index)

    rewrite([["p3", "train", "labels file is no JSON"]])
    data, _ = load(features, index, 19, 3)
    assert data.parts["train"].ids == ["p0", "p6"]
    rewrite([])  # missing without a reason is another matter
    with pytest.raises(UserError, match="no 19-class labels of p3"):
        load(features, index, 19, 3)


def test_labels_that_the_archive_lacks_are_an_error(files: tuple[Path, Path]):
    with pytest.raises(UserError, match="no 43-class labels of p0"):
        load(*files, 43, 1)


def stub(scores: Callable[[Data], np.ndarray]) -> Fit:
    from earthprobe.probes.train import Fitted

    def fit(data: Data, probe: object, threads: int) -> Fitted:
        values = {s: np.full(data.parts[s].targets.shape, 0.25, np.float32) for s in ("val", "test")}
        values["test"] = scores(data)
        return Fitted(values, {"why": "test"}, lambda path: path.write_bytes(b"model"))

    return fit


def test_training_writes_the_contract(files: tuple[Path, Path], tmp_path: Path):
    fit = stub(lambda data: np.full((2, 3), 0.75, np.float32))
    out = tmp_path / "scores.parquet"
    train(fit, *files, 19, {"kind": "stub", "seed": 5}, 1, out, tmp_path / "model")
    table = pq.read_table(out)
    assert table.column_names == ["patch_id", "split", "scores", "targets"]
    assert str(table.schema.field("scores").type) == "fixed_size_list<element: float>[3]"
    assert str(table.schema.field("targets").type) == "fixed_size_list<element: bool>[3]"
    assert table["patch_id"].to_pylist() == ["p1", "p4", "p7", "p2", "p5"]
    assert table["split"].to_pylist() == ["val"] * 3 + ["test"] * 2
    assert table["scores"].to_pylist() == [[0.25] * 3] * 3 + [[0.75] * 3] * 2
    assert table["targets"].to_pylist()[0] == [False, True, False]
    metadata = read_metadata(out)
    assert metadata["probe"] == {"kind": "stub", "seed": 5}
    assert metadata["chosen"] == {"why": "test"}
    assert metadata["classes"] == ["a", "b", "c"]
    assert metadata["features"]["weights"] == "random:0"
    assert metadata["patches"] == {"train": 3, "val": 3, "test": 2}
    assert (tmp_path / "model").read_bytes() == b"model"


def test_scores_that_are_not_finite_are_refused(files: tuple[Path, Path], tmp_path: Path):
    fit = stub(lambda data: np.full((2, 3), np.nan, np.float32))
    with pytest.raises(UserError, match="not finite"):
        train(fit, *files, 19, {"kind": "stub"}, 1, tmp_path / "scores.parquet", tmp_path / "model")
    assert not (tmp_path / "scores.parquet").exists()
    assert not (tmp_path / "model").exists()
