"""Random convolutional features against torchgeo's."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from earthprobe.models import rcf
from earthprobe.models.interface import Batch, Inputs
from torchgeo.models import RCF

INPUTS = Inputs(["VV", "VH"], [0.0, 0.0], [1.0, 1.0], None, "zscore")


@pytest.mark.parametrize(("seed", "height"), [(0, 30), (1, 34), (7, 9)])
def test_gaussian_filters_and_vectors_are_torchgeos(seed: int, height: int):
    pixels = torch.randn(3, 2, height, 30)
    ours = rcf.build(None, INPUTS, features=64, seed=seed)
    theirs = RCF(in_channels=2, features=64, kernel_size=3, bias=-1.0, seed=seed)
    torch.testing.assert_close(ours(Batch(pixels)), theirs(pixels))
    torch.testing.assert_close(ours._means(pixels, 3, height), theirs(pixels))  # as a GPU does it


def test_answers_that_are_all_on_one_side_leave_the_other_at_0():
    kernel = torch.stack([torch.full((1, 3, 3), value) for value in (2.0, -2.0)])
    model = rcf.Rcf(kernel, {})
    pixels = torch.rand(3, 1, 37, 41) + 1
    answers = torch.nn.functional.conv2d(pixels.double(), kernel.double()).mean(dim=(2, 3)) - 1
    expected = torch.stack([answers[:, 0], torch.zeros(3), torch.zeros(3), -answers[:, 1]], dim=1)
    found = model(Batch(pixels))
    torch.testing.assert_close(found, expected.float())
    assert (found[:, 1:3] == 0).all()  # no noise, which probes would blow up


def test_whitening_is_torchgeos():
    cuts = np.random.default_rng(0).normal(size=(40, 2, 3, 3)).astype(np.float32)
    theirs = RCF(in_channels=2, features=80)._normalize(cuts)
    np.testing.assert_allclose(rcf.whitened(cuts), theirs, rtol=1e-3, atol=1e-3)


def test_empirical_filters_come_from_train_patches(monkeypatch: pytest.MonkeyPatch):
    asked, whitened = [], []

    def samples(count: int, seed: int) -> np.ndarray:
        asked.append((count, seed))
        return np.random.default_rng(seed).normal(5, 2, (count, 2, 12, 12)).astype(np.float32)

    def keep(cuts: np.ndarray, whiten: Callable[[np.ndarray], np.ndarray] = rcf.whitened) -> np.ndarray:
        whitened.append((cuts, whiten(cuts)))
        return whitened[-1][1]

    monkeypatch.setattr(rcf, "whitened", keep)
    inputs = INPUTS._replace(mean=[5.0, 5.0], std=[2.0, 2.0])
    first, again, other = (rcf.fit(samples, inputs, features=32, seed=seed)["filters"] for seed in (1, 1, 2))
    assert first.shape == (16, 2, 3, 3)
    assert asked == [(16, 1), (16, 1), (16, 2)]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    cuts, filters = whitened[0]
    np.testing.assert_array_equal(first, filters)
    # Each is a part of its own patch, normalised by the train split.
    windows = np.lib.stride_tricks.sliding_window_view((samples(16, 1) - 5) / 2, (3, 3), axis=(2, 3))
    for cut, window in zip(cuts, windows, strict=True):
        found = np.isclose(window.transpose(1, 2, 0, 3, 4), cut, atol=1e-6).all(axis=(2, 3, 4))
        assert found.sum() == 1
