"""The multi-layer perceptron."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from earthprobe.probes import linear, mlp
from earthprobe.probes.interface import Data
from sklearn.metrics import average_precision_score

from tests.unit.probes.test_probes import CLASSES, LINEAR, MLP


def test_mlp_stops_early_and_beats_linear_where_classes_are_not_linear(data: Data):
    fitted = mlp.fit(data, threads=1, **MLP)
    losses = fitted.chosen["val_losses"]
    best = int(np.argmin(losses)) + 1
    assert fitted.chosen["epoch"] == best
    assert len(losses) == min(best + MLP["patience"], MLP["max_epochs"])
    target = data.parts["test"].targets[:, 1]
    curved = average_precision_score(target, fitted.scores["test"][:, 1])
    straight = average_precision_score(target, linear.fit(data, threads=1, **LINEAR).scores["test"][:, 1])
    assert curved > straight + 0.2


@pytest.mark.parametrize("hidden", [[16], [12, 7], [9, 8, 7, 6, 5]], ids=str)
def test_saved_tensors_reproduce_the_scores(data: Data, hidden: list[int], tmp_path: Path):
    fitted = mlp.fit(data, threads=1, **{**MLP, "hidden": hidden})
    fitted.save(tmp_path / "model.safetensors")
    stored = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert not stored.pop("single")
    x = (torch.from_numpy(data.parts["test"].features) - stored.pop("mean")) / stored.pop("std")
    model = mlp.build(8, hidden, CLASSES, 0)
    model.load_state_dict(stored)
    np.testing.assert_allclose(torch.sigmoid(model(x)).detach().numpy(), fitted.scores["test"], atol=1e-5)
    again = mlp.read(tmp_path / "model.safetensors")(data.parts["test"].features)
    np.testing.assert_allclose(again, fitted.scores["test"], atol=1e-5)


def test_training_that_its_epochs_cut_short_is_said(data: Data):
    chosen = mlp.fit(data, threads=1, hidden=[16], max_epochs=2).chosen
    assert chosen["limits"] == ["ended at its last epoch (2), while val still improved now and then"]
    stopped = mlp.fit(data, threads=1, hidden=[64], max_epochs=100, patience=2, learning_rate=0.01).chosen
    assert len(stopped["val_losses"]) < 100
    assert "limits" not in stopped


GRID = {"widths": [8, 32], "learning_rates": [0.01, 0.0001, 0.001], "max_epochs": 8, "dropout": 0.1}


def test_every_pair_is_trained_as_if_alone_and_the_best_on_val_is_kept(data: Data):
    fitted = mlp.fit(data, threads=1, **GRID)
    tried = fitted.chosen["tried"]
    pairs = [(width, rate) for width in (8, 32) for rate in (0.0001, 0.001, 0.01)]
    assert [(*one["hidden"], one["learning_rate"]) for one in tried] == pairs
    best = min(tried, key=lambda one: one["val_loss"])
    assert {key: fitted.chosen[key] for key in ("hidden", "learning_rate", "epoch", "val_loss")} == best
    options = {"max_epochs": 8, "dropout": 0.1}
    alone = mlp.fit(data, threads=1, hidden=best["hidden"], learning_rate=best["learning_rate"], **options)
    np.testing.assert_array_equal(alone.scores["test"], fitted.scores["test"])
    assert "took the largest learning rate that was tried (0.01)" in fitted.chosen["limits"]
    assert not any("width" in limit for limit in fitted.chosen["limits"]), "of two, each is an end"


@pytest.mark.parametrize("select", ["map_macro", "map_micro"])
def test_the_epoch_with_the_best_ap_is_kept_if_asked(data: Data, select: str):
    fitted = mlp.fit(data, threads=1, select=select, **MLP)
    val = data.parts["val"]
    there = val.targets.any(axis=0)
    average = select.removeprefix("map_")
    want = average_precision_score(val.targets[:, there], fitted.scores["val"][:, there], average=average)
    assert fitted.chosen[f"val_{select}"] == pytest.approx(want)
    first = mlp.fit(data, threads=1, select=select, **{**MLP, "max_epochs": 1})
    assert want > first.chosen[f"val_{select}"]


def test_a_cosine_ends_the_learning_rate_at_0(data: Data, monkeypatch: pytest.MonkeyPatch):
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def noted(self: torch.optim.AdamW, *arguments: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    mlp.fit(
        data, threads=1, hidden=[4], learning_rate=0.01, decay="cosine", max_epochs=6, patience=6, batch_size=10_000
    )
    want = [0.005 * (1 + np.cos(np.pi * epoch / 6)) for epoch in range(6)]
    np.testing.assert_allclose(rates, want, rtol=1e-6)
