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


@pytest.mark.parametrize("hidden", [[16], [12, 7]], ids=str)
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
    assert chosen["limits"] == ["ended at its last epoch (2), while the loss on val still fell now and then"]
    stopped = mlp.fit(data, threads=1, hidden=[64], max_epochs=100, patience=2, learning_rate=0.01).chosen
    assert len(stopped["val_losses"]) < 100
    assert "limits" not in stopped
