"""Rows of models: ours in bfloat16 beside the model's own forward pass in float32, or beside cheaper ways of ours."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from earthprobe.config import entry_of
from earthprobe.models.assemble import encoder_of
from earthprobe.models.forward import BATCH
from earthprobe.models.interface import Encoder, Inputs
from earthprobe.models.packed import Int8Linear
from earthprobe.models.weights import read_state
from earthprobe.sensors import bands_of
from earthprobe.steps import embed_weights
from earthprobe.steps.embed import choose_precision

from bench.tools import BASE, CORES, WORK, Pairs, Row, weights

PATCHES = 64
MEAN, STD = [-12.0, -19.0], [5.0, 5.5]


def published(kind: str, model: str, other: Any) -> Row:
    """Patches a second of a model of timm's or torchgeo's.

    Args:
        kind: ours.
        model: its name.
        other: builds the same model as its own library does.
    """
    if choose_precision("auto", "cpu") == torch.float32:
        return Row("not measured: no bfloat16 units", None, "patches/s")
    path = Path(WORK) / f"{kind}-{model}.safetensors"
    if not path.exists():
        embed_weights.run(kind=kind, model=model, bands=["VV", "VH"], weights="random:0", output=path)
    given = {"kind": kind, "model": model, "weights": "random:0", "bands": ["VV", "VH"], "normalization": "zscore"}
    entry = entry_of("models", json.dumps(given), "bench")
    ours = encoder_of(entry, Inputs(["VV", "VH"], MEAN, STD, None, "zscore"), path, "cpu", torch.bfloat16)
    theirs = other()
    theirs.load_state_dict(read_state(path))
    theirs.eval()
    pixels = torch.randn(PATCHES, 2, 120, 120) * 5 - 15
    shift, scale = (torch.tensor(figures).view(-1, 1, 1) for figures in (MEAN, STD))

    @torch.inference_mode()
    def run_ours() -> torch.Tensor:
        return torch.cat([ours(batch) for batch in pixels.split(BATCH["cpu"])])

    @torch.inference_mode()
    def run_theirs() -> torch.Tensor:
        x = (pixels - shift) / scale
        x = torch.cat([x, x[:, :1] - x[:, 1:]], dim=1) if kind == "timm" else x
        x = F.interpolate(x, size=(224, 224), mode="bilinear")
        return torch.cat([theirs(batch) for batch in x.split(BATCH["cpu"])])

    pairs = Pairs(run_ours, run_theirs)
    assert F.cosine_similarity(pairs.result, pairs.expected).min() > 0.999
    return pairs.rate(PATCHES, "patches/s")


def dofa(size: int, precision: str) -> Row:
    """DOFA base of patches of a size, beside itself in bfloat16 with 224 pixels."""
    if precision == "int8" and not Int8Linear.available():
        return Row("not measured: no int8 units", None, "patches/s")
    if choose_precision("auto", "cpu") == torch.float32:
        return Row("not measured: no bfloat16 units", None, "patches/s")
    torch.set_num_threads(CORES)
    pixels = torch.randn(PATCHES, 2, 120, 120) * 5 - 15

    def of(size: int, precision: str) -> Encoder:
        given = {"kind": "dofa", "model": BASE, "weights": "random:0", "bands": ["VV", "VH"], "image_size": size}
        entry = entry_of("models", json.dumps(given), "bench")
        return encoder_of(
            entry, Inputs(["VV", "VH"], MEAN, STD, size, "zscore"), weights(), "cpu", getattr(torch, precision)
        )

    @torch.inference_mode()
    def run(encoder: Encoder) -> torch.Tensor:
        return torch.cat([encoder(batch) for batch in pixels.split(BATCH["cpu"])])

    pairs = Pairs(partial(run, of(size, precision)), partial(run, of(224, "bfloat16")))
    least = float(F.cosine_similarity(pairs.result, pairs.expected).min())
    assert size != 224 or least > 0.99, least
    return pairs.rate(PATCHES, "patches/s")


def statistics() -> Row:
    """The control of 12 bands, beside numpy's functions one after the other."""
    bands = list(bands_of("s2"))
    pixels = np.random.default_rng(0).gamma(3, 500, (PATCHES, len(bands), 120, 120)).round().astype(np.float32)
    inputs = Inputs(bands, [0.0] * len(bands), [1.0] * len(bands), None)
    encoder = encoder_of({"kind": "statistics", "bands": bands}, inputs, None, "cpu", torch.float32)

    @torch.inference_mode()
    def ours() -> np.ndarray:
        return torch.cat([encoder(batch) for batch in torch.from_numpy(pixels).split(BATCH["cpu"])]).numpy()

    def theirs() -> np.ndarray:
        flat = pixels.reshape(PATCHES, len(bands), -1)
        moments = [flat.mean(2, dtype=np.float64), flat.std(2, dtype=np.float64), flat.min(2), flat.max(2)]
        return np.stack([*moments, *np.percentile(flat, [5, 25, 50, 75, 95], axis=2)], axis=2).reshape(PATCHES, -1)

    pairs = Pairs(ours, theirs)
    np.testing.assert_allclose(pairs.result, pairs.expected, rtol=1e-5)
    return pairs.rate(PATCHES, "patches/s")


def rcf() -> Row:
    """Random convolutional features of two bands, beside torchgeo's with the same filters."""
    from torchgeo.models import RCF

    torch.set_num_threads(CORES)
    bands = ["VV", "VH"]
    entry = entry_of("models", json.dumps({"kind": "rcf", "bands": bands, "normalization": "none"}), "bench")
    encoder = encoder_of(entry, Inputs(bands, MEAN, STD, None, "none"), None, "cpu", torch.float32)
    pixels = torch.randn(PATCHES, 2, 120, 120)
    model = RCF(in_channels=2, features=512, kernel_size=3, bias=-1.0, seed=0)

    @torch.inference_mode()
    def run(model: Any) -> torch.Tensor:
        return torch.cat([model(batch) for batch in pixels.split(BATCH["cpu"])])

    pairs = Pairs(partial(run, encoder), partial(run, model))
    torch.testing.assert_close(pairs.result, pairs.expected)
    return pairs.rate(PATCHES, "patches/s")


def vit_small() -> Row:
    """Torchgeo's ViT small."""
    from torchgeo.models import vit_small_patch16_224

    return published("torchgeo", "vit_small_patch16_224", lambda: vit_small_patch16_224(in_chans=2, num_classes=0))


def softcon() -> Row:
    """Torchgeo's ViT base of DINOv2."""
    from torchgeo.models import vit_base_patch14_dinov2

    return published(
        "torchgeo", "vit_base_patch14_dinov2", lambda: vit_base_patch14_dinov2(in_chans=2, img_size=224, num_classes=0)
    )


def resnet() -> Row:
    """Torchgeo's ResNet-50."""
    from torchgeo.models import resnet50

    return published("torchgeo", "resnet50", lambda: resnet50(in_chans=2, num_classes=0))


def timm_vit() -> Row:
    """Timm's ViT base."""
    import timm

    return published("timm", "vit_base_patch16_224", lambda: timm.create_model("vit_base_patch16_224", num_classes=0))
