"""All probes behind their common interface."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from earthprobe import registry
from earthprobe.probes import binned_forest, extra_trees, knn, linear, linear_sgd, mlp, random_forest
from earthprobe.probes.interface import Data, Part
from sklearn.metrics import average_precision_score

CLASSES = 5
FOREST = {"n_estimators": 10}
LINEAR = {"strengths": [1.0, 0.1, 0.01, 0.001]}
MLP = {"hidden": [16], "learning_rate": 0.01, "dropout": 0.1, "max_epochs": 40, "patience": 5}
PROBES: list[tuple[ModuleType, dict[str, Any]]] = [
    (random_forest, FOREST),
    (extra_trees, FOREST),
    (linear, LINEAR),
    (mlp, MLP),
    (linear_sgd, {"epochs": 40}),
    (knn, {"metric": "l2", "k": 9}),
    (knn, {"metric": "cosine"}),
    (binned_forest, FOREST),
]


def name_of(value: object) -> str:
    if isinstance(value, ModuleType):
        return value.__name__.rpartition(".")[2]
    return str(value.get("metric", "")) if isinstance(value, Mapping) else ""


def test_every_kind_is_tested():
    assert {name_of(module) for module, _ in PROBES} == set(registry.names("probes"))


BY_THE_STEP = {"scale", "protocol", "jobs"}
"""Options that the step of training acts on, for every kind alike."""


@pytest.mark.parametrize("kind", registry.names("probes"))
def test_the_options_and_defaults_of_a_kind_are_those_of_its_yaml_file(kind: str):
    parameters = inspect.signature(registry.load("probes", kind).fit).parameters
    keywords = {name: p.default for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert keywords.pop("threads") is inspect.Parameter.empty
    facts = registry.kind("probes", kind).facts
    options = {name: option for name, option in facts["options"].items() if name not in BY_THE_STEP}
    described = {name: option["default"] for name, option in options.items() if "default" in option}
    assert keywords.keys() == options.keys()
    for name, default in keywords.items():
        if name in described or default is not inspect.Parameter.empty:
            assert (list(default) if isinstance(default, tuple) else default) == described.get(name, DEFAULTS.get(name))
        else:
            assert name in facts["required"]


DEFAULTS = {"n_estimators": 100, "max_depth": None, "min_samples_leaf": 1}
"""Of options that several kinds share, which config.yaml describes."""


@pytest.mark.parametrize(("module", "options"), PROBES, ids=name_of)
def test_scores_are_probabilities_and_repeatable(data: Data, module: ModuleType, options: dict):
    first, second = module.fit(data, threads=1, **options), module.fit(data, threads=2, **options)
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


@pytest.mark.parametrize(("module", "options"), PROBES, ids=name_of)
def test_test_labels_are_never_seen(data: Data, module: ModuleType, options: dict):
    before = module.fit(data, threads=1, **options).scores["test"]
    data.parts["test"].targets[:] = ~data.parts["test"].targets
    np.testing.assert_array_equal(module.fit(data, threads=1, **options).scores["test"], before)


@pytest.mark.parametrize(("module", "options"), PROBES, ids=name_of)
def test_a_saved_model_scores_raw_embeddings_as_it_did(data: Data, module: ModuleType, options: dict, tmp_path: Path):
    data.mean[:], data.std[:] = 2, 4
    fitted = module.fit(data, threads=2, **options)
    fitted.save(tmp_path / "model.safetensors")
    raw = data.parts["test"].features * data.std + data.mean
    kept = raw.copy()
    again = module.read(tmp_path / "model.safetensors")(raw)
    assert again.dtype == np.float32
    assert again.shape == fitted.scores["test"].shape
    np.testing.assert_array_equal(raw, kept)
    # Undoing the standardising moves a value by a rounding error, which may move a patch over a tree's threshold.
    assert np.isclose(again, fitted.scores["test"], atol=1e-5).all(axis=1).mean() > 0.98


@pytest.mark.parametrize(("module", "options"), PROBES[2:4], ids=name_of)
def test_choices_are_made_on_val(data: Data, module: ModuleType, options: dict):
    fitted = module.fit(data, threads=1, **options)
    assert fitted.chosen["val_loss"] == pytest.approx(log_loss(data.parts["val"], fitted.scores["val"]), rel=1e-4)
    # Other labels of val lead to another choice, or at least to another loss; the fit on train stays.
    data.parts["val"].targets[:] = np.random.default_rng(9).random(data.parts["val"].targets.shape) < 0.5
    assert module.fit(data, threads=1, **options).chosen["val_loss"] > fitted.chosen["val_loss"] + 0.1


def log_loss(part: Part, scores: np.ndarray) -> float:
    p = np.clip(scores.astype(np.float64), 1e-12, 1 - 1e-12)
    return float(-np.where(part.targets, np.log(p), np.log(1 - p)).mean())
