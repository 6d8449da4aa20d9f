"""Pixels prepared as other benchmarks prepare them, written again from what these publish."""

import json
from pathlib import Path
from typing import Any

import kornia.augmentation as K  # noqa: N812 - as its own users call it
import pytest
import torch
from earthprobe.config import entry_of
from earthprobe.models.assemble import encoder_of, inputs_of
from earthprobe.models.interface import Batch
from earthprobe.models.options import options_of
from earthprobe.models.protocols import PROTOCOLS
from earthprobe.sensors import BANDS, bands_of
from earthprobe.steps import embed_weights

DOFA, COPERNICUS = "dofa_base_patch16_224", "copernicus-bench"

pytestmark = pytest.mark.usefixtures("shallow_dofa")


def entry(**options: Any) -> dict[str, Any]:
    return entry_of("models", json.dumps(options), "x")


@pytest.fixture
def statistics(tmp_path: Path) -> list[Path]:
    """The train split's figures, which differ from any protocol's."""
    path = tmp_path / "statistics.json"
    train = {band: {"mean": 100.0, "std": 50.0} for band in BANDS}
    bands = {name: {"size": b.size, "unit": b.unit, "wavelength": b.wavelength} for name, b in BANDS.items()}
    path.write_text(json.dumps({"train": train, "bands": bands}))
    return [path]


@pytest.mark.parametrize("bands", [["VV", "VH"], list(bands_of("s2"))], ids=["s1", "s2"])
def test_copernicus_bench(bands: list[str], statistics: list[Path], tmp_path: Path):
    given = entry(kind="dofa", model=DOFA, weights="random:0", bands=bands, protocol=COPERNICUS)
    path = tmp_path / "weights.safetensors"
    embed_weights.run(kind="dofa", model=DOFA, bands=bands, weights="random:0", output=path)
    encoder = encoder_of(given, inputs_of(given, statistics), path, "cpu", torch.float32)
    pixels = torch.randn(2, len(bands), 120, 120) * 5 - 15
    # Its two transforms, of the library that it takes them from.
    known = PROTOCOLS[COPERNICUS].figures
    mean, std = (torch.tensor([known[band][number] for band in bands]) for number in (0, 1))
    want = K.Resize(size=(224, 224), align_corners=True)(K.Normalize(mean=mean, std=std)(pixels))
    seen: Batch = encoder.prepare(pixels)
    torch.testing.assert_close(seen.pixels, want, atol=1e-4, rtol=1e-4)
    wavelengths = options_of(given)["wavelengths"]
    assert list(encoder.model.settings["wavelengths"]) == wavelengths
    assert wavelengths[:2] == ([3.75, 3.75] if bands[0] == "VV" else [0.44, 0.49])


def test_croma_sees_120_pixels_there(statistics: list[Path]):
    given = entry(kind="torchgeo", model="croma_base", weights="random:0", bands=["VV", "VH"], protocol=COPERNICUS)
    inputs = inputs_of(given, statistics)
    assert (inputs.image_size, inputs.normalization, list(inputs.mean)) == (120, "zscore", [-12.548, -20.192])


@pytest.mark.parametrize(("kind", "normalization"), [("statistics", "none"), ("rcf", "zscore")])
def test_torchgeo_bench(kind: str, normalization: str, statistics: list[Path]):
    given = entry(kind=kind, bands=["VV", "VH"], protocol="torchgeo-bench")
    inputs = inputs_of(given, statistics)
    assert (inputs.image_size, inputs.normalization, inputs.align_corners) == (224, normalization, False)
    assert list(inputs.mean) == [100.0, 100.0]
    encoder = encoder_of(given, inputs, None, "cpu", torch.float32)
    pixels = torch.randn(2, 2, 120, 120) * 50 + 100
    seen = encoder.prepare(pixels).pixels
    # Which comes first makes no difference: each pixel is a weighted mean of others.
    want = torch.nn.functional.interpolate(pixels, size=(224, 224), mode="bilinear", align_corners=False)
    if normalization == "zscore":
        want = (want - 100) / 50
    torch.testing.assert_close(seen, want, atol=1e-4, rtol=1e-4)
