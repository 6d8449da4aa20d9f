"""The linear probe against scikit-learn's."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from earthprobe.probes import linear
from earthprobe.probes.data import permuted
from earthprobe.probes.interface import Data
from sklearn.linear_model import LogisticRegression

STRENGTHS = [1.0, 0.1, 0.01, 0.001]


@pytest.mark.parametrize("strength", STRENGTHS)
def test_linear_equals_scikit_learns_logistic_regression(data: Data, strength: float):
    ours = linear.fit(data, threads=1, strengths=[strength]).scores["test"]
    x, y = data.parts["train"].features.astype(np.float64), data.parts["train"].targets
    for index in (0, 1, 2):
        theirs = LogisticRegression(C=1 / (strength * len(x)), tol=1e-8, max_iter=5000).fit(x, y[:, index])
        want = theirs.predict_proba(data.parts["test"].features.astype(np.float64))[:, 1]
        np.testing.assert_allclose(ours[:, index], want, atol=1e-3)


def test_linear_keeps_the_strength_with_the_lowest_loss_on_val(data: Data):
    chosen = linear.fit(data, threads=1, strengths=STRENGTHS).chosen
    losses = {t["strength"]: t["val_loss"] for t in chosen["tried"]}
    assert list(losses) == sorted(STRENGTHS, reverse=True)
    assert chosen["strength"] == min(losses, key=losses.get)
    assert chosen["val_loss"] == min(losses.values())


def test_weaker_penalties_are_left_out_once_val_gets_worse(data: Data):
    data.parts["train"] = data.parts["train"].where(np.arange(900) < 100)
    strengths = [10.0**-power for power in range(9)]
    all_, few = (linear.fit(data, threads=1, strengths=strengths, patience=patience) for patience in (None, 2))
    best = min(all_.chosen["tried"], key=lambda one: one["val_loss"])
    position = all_.chosen["tried"].index(best)
    assert len(all_.chosen["tried"]) == 9
    assert few.chosen["tried"] == all_.chosen["tried"][: position + 3]
    assert few.chosen["strength"] == all_.chosen["strength"] == best["strength"]
    for split in ("val", "test"):
        np.testing.assert_array_equal(few.scores[split], all_.scores[split])
    by_ap = linear.fit(data, threads=1, strengths=strengths, select="map_micro")  # which goes up and down
    assert len(by_ap.chosen["tried"]) == 9


def test_saved_tensors_reproduce_the_scores(data: Data, tmp_path: Path):
    fitted = linear.fit(data, threads=1, strengths=STRENGTHS)
    fitted.save(tmp_path / "model.safetensors")
    stored = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert not stored["single"]
    x = (torch.from_numpy(data.parts["test"].features) - stored.pop("mean")) / stored.pop("std")
    logits = x @ stored["weight"].T + stored["bias"]
    np.testing.assert_allclose(torch.sigmoid(logits).numpy(), fitted.scores["test"], atol=1e-5)
    again = linear.read(tmp_path / "model.safetensors")(data.parts["test"].features)
    np.testing.assert_allclose(again, fitted.scores["test"], atol=1e-5)


def test_a_choice_at_an_end_of_the_grid_is_said(data: Data):
    def limits(**options: object) -> list[str]:
        found: list[str] = linear.fit(data, threads=1, **options).chosen.get("limits", [])
        return found

    assert limits(strengths=[10.0, 1.0, 0.5]) == ["took the weakest penalty that was tried (0.5)"]
    assert limits(strengths=[0.01]) == []  # of one there is no choice
    nothing = linear.fit(permuted(data, 0), threads=1, strengths=[1.0, 1e-7]).chosen
    assert nothing["limits"] == ["took the strongest penalty that was tried (1)"]
    assert limits(strengths=[1e-5], max_iterations=3) == ["stopped at its last iteration (3)"]
    data.parts["train"] = data.parts["train"].where(np.arange(900) < 40)  # few, on which a weak penalty is too weak
    assert limits(strengths=[10.0, 0.1, 1e-7]) == []
