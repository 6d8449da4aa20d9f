"""The control without a model: its figures are numpy's."""

import numpy as np
import pytest
import torch
from earthprobe import registry
from earthprobe.models import statistics
from earthprobe.models.interface import Batch, Inputs

PERCENTILES = [0, 3.7, 25, 50, 99.9, 100]


def patches(kind: str, count: int = 7, bands: int = 3, size: int = 120) -> np.ndarray:
    rng = np.random.default_rng(5)
    shape = (count, bands, size, size)
    level = rng.normal(size=(count, bands, 1, 1))
    if kind == "dB":
        pixels = rng.normal(-15 + 4 * level, 2.5, shape)
    elif kind == "reflectance":  # whole numbers with many ties, dark water and white snow
        pixels = np.round(np.exp(rng.normal(6.5 + level, 0.7, shape))).clip(0, 20_000)
    else:
        pixels = np.broadcast_to(level * 100, shape)
    return np.ascontiguousarray(pixels, dtype=np.float32)


def of(pixels: np.ndarray, percentiles: list[float] | None = None) -> np.ndarray:
    inputs = Inputs(["VV", "VH", "B02"][: pixels.shape[1]], [7.0] * 3, [9.0] * 3, None)
    options = {} if percentiles is None else {"percentiles": percentiles}
    model = statistics.build(None, inputs, **options).place("cpu", torch.float32)
    with torch.inference_mode():
        vectors = model(Batch(torch.from_numpy(pixels)))
    assert vectors.dtype == torch.float32
    assert vectors.shape == (len(pixels), model.dimensions)
    return vectors.numpy()


@pytest.mark.parametrize("kind", ["dB", "reflectance", "flat"])
@pytest.mark.parametrize("size", [120, 7, 1])
def test_figures_are_numpys_all_of_a_band_before_the_next(kind: str, size: int):
    pixels = patches(kind, size=size)
    flat = pixels.reshape(*pixels.shape[:2], -1).astype(np.float64)
    want = np.stack(
        [flat.mean(2), flat.std(2), flat.min(2), flat.max(2), *np.percentile(flat, PERCENTILES, axis=2)], axis=2
    )
    got = of(pixels, PERCENTILES).reshape(want.shape)  # patches, bands, figures
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(got[:, :, 2], got[:, :, 4])  # the minimum is the percentile 0
    np.testing.assert_array_equal(got[:, :, 3], got[:, :, -1])


def test_five_percentiles_unless_others_are_asked_for():
    pixels = patches("dB", count=2, bands=2)
    assert of(pixels).shape == (2, 18)
    np.testing.assert_array_equal(of(pixels), of(pixels, [5, 25, 50, 75, 95]))
    assert registry.kind("models", "statistics").facts["options"]["percentiles"]["default"] == [5, 25, 50, 75, 95]
    assert of(pixels, []).shape == (2, 8)


@pytest.mark.parametrize("kind", ["dB", "reflectance"])
def test_neither_the_size_of_a_batch_nor_the_other_patches_matter(kind: str):
    pixels = patches(kind, count=23)
    whole = of(pixels)
    for size in (1, 2, 5, 8, 16):
        pieces = [of(pixels[start : start + size]) for start in range(0, len(pixels), size)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
    threads = torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            np.testing.assert_array_equal(of(pixels), whole)
    finally:
        torch.set_num_threads(threads)


def test_a_band_with_a_far_away_level_keeps_its_deviation():
    pixels = patches("dB", count=2, bands=1) + np.float32(2**17)
    np.testing.assert_allclose(of(pixels)[:, 1], pixels.reshape(2, -1).astype(np.float64).std(1), rtol=1e-5)


def test_what_a_reader_must_know():
    model = statistics.build(None, Inputs(["VV"], [0.0], [1.0], None), percentiles=[10, 90])
    assert model.settings == {"percentiles": [10, 90]}
    assert model.dimensions == 6
    assert model.pooling
