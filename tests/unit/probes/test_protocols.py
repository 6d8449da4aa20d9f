"""Probing as torchgeo-bench does, against scikit-learn."""

import numpy as np
import pytest
from earthprobe import registry
from earthprobe.config import entry_of
from earthprobe.probes import knn, linear
from earthprobe.probes.interface import Data
from earthprobe.probes.protocols import PROTOCOLS, applied
from earthprobe.probes.selection import quality
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier

C = [1e-4, 0.01, 1.0, 100.0]


def joined(data: Data) -> tuple[np.ndarray, np.ndarray]:
    parts = [data.parts[split] for split in ("train", "val")]
    features = np.concatenate([part.features for part in parts]).astype(np.float64)
    return features, np.concatenate([part.targets for part in parts])


def theirs(c: float, x: np.ndarray, y: np.ndarray, other: np.ndarray) -> np.ndarray:
    model = MultiOutputClassifier(LogisticRegression(C=c, tol=1e-8, max_iter=5000)).fit(x, y)
    return np.stack([probability[:, 1] for probability in model.predict_proba(other)], axis=1)


def test_the_best_c_by_ap_on_val_is_fitted_once_more_on_train_and_val(data: Data):
    learnt = [0, 1, 2]  # of one value, a class is none for scikit-learn
    for part in data.parts.values():
        part.features[:] = part.features * 3 + 1
        part.targets = part.targets[:, learnt]
    fitted = linear.fit(data, threads=1, c=C, select="map_micro", refit=True, max_iterations=3000)
    train, val, test = (data.parts[split].features.astype(np.float64) for split in ("train", "val", "test"))
    on_val = {c: theirs(c, train, data.parts["train"].targets, val) for c in C}
    worth = {c: average_precision_score(data.parts["val"].targets, s, average="micro") for c, s in on_val.items()}
    best = max(worth, key=worth.__getitem__)
    assert fitted.chosen["strength"] == pytest.approx(1 / (best * len(train)))
    found = {round(1 / (row["strength"] * len(train)), 6): row["val_map_micro"] for row in fitted.chosen["tried"]}
    assert found == pytest.approx(worth, abs=1e-3)
    np.testing.assert_allclose(fitted.scores["val"], on_val[best], atol=2e-3)
    np.testing.assert_allclose(fitted.scores["test"], theirs(best, *joined(data), test), atol=2e-3)


def test_a_choice_by_accuracy_where_patches_have_one_class():
    scores = np.array([[0.6, 0.4], [0.2, 0.8], [0.7, 0.3]], np.float32)
    targets = np.array([[1, 0], [1, 0], [1, 0]], bool)
    assert quality(scores, targets, "map_micro", "single") == pytest.approx(2 / 3)


def test_ap_macro_is_over_the_classes_that_occur():
    rng = np.random.default_rng(0)
    scores, targets = rng.random((50, 3)).astype(np.float32), rng.random((50, 3)) < 0.3
    targets[:, 1] = False
    want = average_precision_score(targets[:, [0, 2]], scores[:, [0, 2]], average="macro")
    assert quality(scores, targets, "map_macro", "multilabel") == pytest.approx(want)


def test_neighbours_of_features_as_they_are(data: Data):
    for part in data.parts.values():
        part.features[:, 0] *= 10
    options = {key: value for key, value in PROTOCOLS["torchgeo-bench"]["knn"].items() if key != "scale"}
    scores = knn.fit(data, threads=1, **options).scores["test"]
    model = KNeighborsClassifier(5).fit(data.parts["train"].features, data.parts["train"].targets)
    want = np.stack([p[:, -1] if p.shape[1] == 2 else p[:, 0] * k for p, k in zip(
        model.predict_proba(data.parts["test"].features), (1, 1, 1, 0, 1), strict=True)], axis=1)  # fmt: skip
    np.testing.assert_allclose(scores, want, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "protocol"), [("linear", "torchgeo-bench"), ("knn", "torchgeo-bench"), ("linear_sgd", "copernicus-bench")]
)
def test_a_protocol_takes_the_place_of_options_that_the_kind_knows(kind: str, protocol: str):
    probe = applied(entry_of("probes", f'{{"kind": "{kind}", "protocol": "{protocol}"}}', "--probe"))
    assert probe["scale"] is False
    assert "protocol" not in probe
    assert probe.keys() - {"kind", "seeds"} <= registry.kind("probes", kind).facts["options"].keys()
    plain = entry_of("probes", f'{{"kind": "{kind}"}}', "--probe")
    assert applied(plain) == {key: value for key, value in plain.items() if key != "protocol"}


def test_the_grid_is_torchgeo_benchs():
    grid = PROTOCOLS["torchgeo-bench"]["linear"]["c"]
    assert (len(grid), grid[0], grid[-1]) == (40, 1e-6, 1e4)
