"""Sums of pixels in whatever unit."""

import numpy as np
import pytest
from earthprobe.storage.pixel_sums import PixelSums


@pytest.mark.parametrize("scale", [1e-9, 1e-5, 1.0, 1e4])
def test_mean_and_deviation_are_numpys_to_six_digits(scale: float):
    values = np.random.default_rng(0).normal(3, 1, 100_000) * scale
    sums = PixelSums.of(values[:40_000]) + PixelSums.of(values[40_000:])
    assert sums.mean == pytest.approx(values.mean(), rel=1e-6)
    assert sums.std == pytest.approx(values.std(), rel=1e-5)


def test_what_does_not_vary_has_no_deviation():
    sums = PixelSums.of(np.full(100, 7.0))
    assert (sums.mean, sums.std) == (7.0, 0.0)
    assert np.isnan(PixelSums().mean)
    assert np.isnan(PixelSums().std)
