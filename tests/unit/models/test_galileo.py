"""Galileo against vectors that its authors' own encoder computed of real patches."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.models import galileo
from earthprobe.models.assemble import encoder_of
from earthprobe.models.interface import Inputs
from earthprobe.models.packed import Int8Linear
from earthprobe.models.weights import origin_of, read_state
from earthprobe.steps import embed_weights
from earthprobe.storage.pixels import resample

from tests.conftest import SHARED, needs, read_band

NANO = SHARED.parent / "models/galileo-nano"
S1 = ["VV", "VH"]
S2 = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("galileo") / "weights.safetensors"
    embed_weights.run(kind="galileo", model="nano", weights=str(needs(NANO / "encoder.pt")), output=path)
    return path


@pytest.fixture(scope="module")
def oracle() -> Any:
    with np.load(needs(NANO / "oracle.npz"), allow_pickle=False) as arrays:
        return dict(arrays)


def embedded(oracle: Any, weights: Path, bands: list[str], dtype: torch.dtype, **options: Any) -> torch.Tensor:
    entry = {"kind": "galileo", "model": "nano", "weights": "x", "bands": bands, **options}
    entry = entry_of("models", json.dumps(entry), "x")
    inputs = Inputs(bands, [0.0] * len(bands), [1.0] * len(bands), entry["image_size"], entry["normalization"])
    planes = []
    for name in oracle["names"]:
        folder = {"V": f"S1/{name}", "B": f"S2/{name}"}
        files = [SHARED / "real-patches" / folder[band[0]] / f"{name}_{band}.tif" for band in bands]
        planes.append(np.concatenate([resample(read_band(needs(file))[None]) for file in files]).astype(np.float32))
    dates = torch.from_numpy(oracle["months"]).float()[:, None].repeat(1, 2)
    with torch.inference_mode():
        return encoder_of(entry, inputs, weights, "cpu", dtype)(torch.from_numpy(np.array(planes)), dates)


@pytest.mark.parametrize(
    ("key", "bands", "patch_size"),
    [
        ("s1_patch8", S1, 8),
        ("s1_patch4", S1[::-1], 4),
        ("s2_patch8", S2[::-1], 8),
        ("s1_s2_patch8", [*S2, *S1], 8),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_vectors_are_the_authors(oracle: Any, weights: Path, key: str, bands: list[str], patch_size: int):
    want = torch.from_numpy(oracle[key])
    got = embedded(oracle, weights, bands, torch.float32, patch_size=patch_size)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    fast = embedded(oracle, weights, bands, torch.bfloat16, patch_size=patch_size)
    assert F.cosine_similarity(fast, want).min() > 0.999
    if Int8Linear.available():
        coarse = embedded(oracle, weights, bands, torch.int8, patch_size=patch_size)
        assert 0.998 < F.cosine_similarity(coarse, want).min() < F.cosine_similarity(fast, want).min()


def test_the_month_counts(oracle: Any, weights: Path):
    june = embedded(oracle, weights, S1, torch.float32)
    winter = embedded(oracle | {"months": oracle["months"] * 0}, weights, S1, torch.float32)
    assert (june - winter).abs().max() > 0.01


def test_cells_must_fit_the_patch(oracle: Any, weights: Path):
    with pytest.raises(UserError, match="patch_size 7 does not divide a patch of 120 pixels"):
        embedded(oracle, weights, S1, torch.float32, patch_size=7)
    wider = embedded(oracle, weights, S1, torch.float32, patch_size=7, image_size=126)
    assert F.cosine_similarity(wider, torch.from_numpy(oracle["s1_patch8"])).min() > 0.9


def test_the_published_file_is_known_by_its_hash(weights: Path):
    assert origin_of(weights)["sha256"] == galileo.published("nano")["published"].sha256
    assert galileo.published("base")["published"].url.endswith("models/base/encoder.pt")


def test_an_untrained_encoder_begins_as_the_trained_one_did(weights: Path, tmp_path: Path):
    path = tmp_path / "random.safetensors"
    embed_weights.run(kind="galileo", model="nano", weights="random:0", output=path)
    trained, untrained = read_state(weights), read_state(path)
    assert trained.keys() == untrained.keys()
    # What the authors never trained is there from the start: positions in time, and the months.
    for key in ("pos_embed", "month_embed.weight"):
        torch.testing.assert_close(untrained[key], trained[key], atol=1e-5, rtol=0)
    assert not torch.equal(untrained["blocks.0.attn.qkv.weight"], trained["blocks.0.attn.qkv.weight"])
    assert untrained["blocks.0.attn.qkv.bias"].abs().max() == 0
