"""Models of torchgeo against torchgeo's own forward pass, and what is known of its weights against its enums."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import torchgeo.models as theirs
from earthprobe import registry
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.models import torchgeo, torchgeo_others
from earthprobe.models.assemble import encoder_of
from earthprobe.models.interface import Inputs
from earthprobe.models.packed import Int8Linear
from earthprobe.models.weights import read_state
from earthprobe.sensors import BANDS, bands_of
from earthprobe.steps import embed_weights
from torchgeo.models.api import get_model_weights

from tests.conftest import REPOSITORY

S1, S2 = ["VV", "VH"], list(bands_of("s2"))
FIGURES = {"VV": (-12.0, 5.0), "VH": (-19.0, 5.5)} | dict.fromkeys(S2, (1500.0, 900.0))


def patches(bands: list[str]) -> torch.Tensor:
    """Pixels in the bands' units."""
    torch.manual_seed(3)
    mean, std = (torch.tensor([FIGURES[band][i] for band in bands]).view(-1, 1, 1) for i in (0, 1))
    return torch.randn(3, len(bands), 120, 120).cumsum(-1) / 8 * std + mean


def embedded(
    tmp_path: Path, model: str, bands: list[str], dtype: torch.dtype = torch.float32, **options: Any
) -> torch.Tensor:
    """What the steps make of them."""
    weights = tmp_path / "weights.safetensors"
    if not weights.exists():
        embed_weights.run(kind="torchgeo", model=model, bands=bands, weights="random:1", output=weights)
    given = {"kind": "torchgeo", "model": model, "weights": "random:1", "bands": bands, **options}
    entry = entry_of("models", json.dumps(given), "x")
    mean, std = ([FIGURES[band][i] for band in bands] for i in (0, 1))
    inputs = Inputs(bands, mean, std, entry["image_size"], entry["normalization"])
    with torch.inference_mode():
        return encoder_of(entry, inputs, weights, "cpu", dtype)(patches(bands))


def prepared(bands: list[str], mean: list[float], std: list[float], size: int, high: float = torch.inf) -> torch.Tensor:
    """Normalised and resized pixels, written again."""
    shift, scale = (torch.tensor(figures).view(-1, 1, 1) for figures in (mean, std))
    low = -torch.inf if high == torch.inf else 0
    return F.interpolate(((patches(bands) - shift) / scale).clip(low, high), size=(size, size), mode="bilinear")


def close(got: torch.Tensor, want: torch.Tensor) -> None:
    assert want.std() > 1e-3
    torch.testing.assert_close(got, want, atol=1e-4 * max(1.0, want.abs().max().item()), rtol=0)


SSL4EO = ([-12.59, -20.26], [5.26, 5.91])


@pytest.mark.parametrize(
    ("model", "bands", "figures"),
    [
        ("resnet50", S1, SSL4EO),
        ("vit_small_patch16_224", S1, ([0.0, 0.0], [1.0, 1.0])),  # the first weights of torchgeo's are CLOSP's
        ("vit_small_patch14_dinov2", S1, SSL4EO),
        ("resnet18", ["B04", "B03", "B02"], ([0.0] * 3, [10000.0] * 3)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_vectors_equal_torchgeos(tmp_path: Path, model: str, bands: list[str], figures: Any):
    got = embedded(tmp_path, model, bands)
    size = {"img_size": 224} if model.endswith("dinov2") else {}
    own = getattr(theirs, model)(in_chans=len(bands), num_classes=0, **size).eval()
    own.load_state_dict(read_state(tmp_path / "weights.safetensors"))
    with torch.inference_mode():
        close(got, own(prepared(bands, *figures, 224)))
    fast = embedded(tmp_path, model, bands, torch.bfloat16)
    assert F.cosine_similarity(got, fast).min() > 0.999


@pytest.mark.parametrize("model", ["resnet18", "vit_small_patch16_224"])
def test_weights_for_13_bands_see_zeros_in_b10(tmp_path: Path, model: str):
    own = getattr(theirs, model)(in_chans=13, num_classes=0).eval()
    torch.save(own.state_dict(), tmp_path / "own.pt")
    weights, given = tmp_path / "weights.safetensors", str(tmp_path / "own.pt")
    embed_weights.run(kind="torchgeo", model=model, bands=S2, weights=given, output=weights)
    got = embedded(tmp_path, model, S2)
    x = prepared(S2, [0.0] * 12, [10000.0] * 12, 224)
    x = torch.cat([x[:, :10], torch.zeros(3, 1, 224, 224), x[:, 10:]], dim=1)  # B10 comes after B09
    with torch.inference_mode():
        close(got, own(x))


def test_weights_for_12_bands_are_taken_as_they_are(tmp_path: Path):
    """Resnet50 has weights with and without B10."""
    own = theirs.resnet50(in_chans=12, num_classes=0).eval()
    torch.save(own.state_dict(), tmp_path / "own.pt")
    weights, given = tmp_path / "weights.safetensors", str(tmp_path / "own.pt")
    embed_weights.run(kind="torchgeo", model="resnet50", bands=S2, weights=given, output=weights)
    with torch.inference_mode():
        close(embedded(tmp_path, "resnet50", S2), own(prepared(S2, [0.0] * 12, [10000.0] * 12, 224)))


@pytest.mark.parametrize(("weights", "zeros"), [("SENTINEL2_ALL_DINO", ["B10"]), ("SENTINEL2_ALL_SECO_ECO", None)])
def test_that_b10_is_zero_is_said_of_published_weights(
    tmp_path: Path, weights: str, zeros: list[str] | None, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "weights.safetensors"
    embed_weights.run(kind="torchgeo", model="resnet50", bands=S2, weights="random:0", output=path)
    monkeypatch.setattr(torchgeo, "origin_of", lambda path: {"weights": weights})
    built = torchgeo.build(path, Inputs(S2, [0.0] * 12, [1.0] * 12, None, "native"), model="resnet50")
    assert built.settings.get("zeros") == zeros


def test_swin_refuses_decibels_for_satlas_and_takes_a_z_score(tmp_path: Path):
    bands = ["VH", "VV"]
    assert torchgeo.native("swin_v2_b", bands, "SENTINEL1_SI_SATLAS") is None
    with pytest.raises(UserError, match="were not trained on VH, VV in the unit .*: use normalization: zscore"):
        embedded(tmp_path, "swin_v2_t", bands)
    got = embedded(tmp_path, "swin_v2_t", bands, normalization="zscore", image_size=128)
    own = theirs.swin_v2_t()
    own.features[0][0] = torch.nn.Conv2d(2, 96, 4, 4)
    own.head = torch.nn.Identity()
    own.load_state_dict(read_state(tmp_path / "weights.safetensors"))
    with torch.inference_mode():
        close(got, own.eval()(prepared(bands, *map(list, zip(*(FIGURES[b] for b in bands), strict=True)), 128)))


@pytest.mark.parametrize(("bands", "output"), [(S1, "sar_GAP"), (S2, "optical_GAP"), (S1 + S2, "joint_GAP")])
def test_croma(tmp_path: Path, bands: list[str], output: str, monkeypatch: pytest.MonkeyPatch):
    def shallow(modalities: list[str], image_size: int = 96) -> torch.nn.Module:
        return theirs.CROMA(modalities, encoder_dim=768, encoder_depth=2, num_heads=16, image_size=image_size)

    monkeypatch.setattr(torchgeo_others, "croma_base", shallow)
    got = embedded(tmp_path, "croma_base", bands, image_size=64)
    own = shallow(torchgeo_others._modalities(bands), 64).eval()
    state = read_state(tmp_path / "weights.safetensors")
    assert state.pop("attn_bias").shape == (1, 16, 144, 144)  # of torchgeo's size, which is not asked for here
    own.load_state_dict(state, strict=False)
    low, high = ([FIGURES[b][0] + sign * 2 * FIGURES[b][1] for b in bands] for sign in (-1, 1))
    x = prepared(bands, low, [b - a for a, b in zip(low, high, strict=True)], 64, 1.0)
    radar = [i for i, band in enumerate(bands) if band in S1]
    optical = [i for i, band in enumerate(bands) if band in S2]
    with torch.inference_mode():
        want = own(x[:, radar] if radar else None, x[:, optical] if optical else None)[output]
    close(got, want)
    fast = embedded(tmp_path, "croma_base", bands, torch.bfloat16, image_size=64)
    assert F.cosine_similarity(got, fast).min() > 0.999


@pytest.mark.parametrize("bands", [S1, ["B02", "B03", "B8A", "VV", "VH"]], ids=["s1", "both"])
@pytest.mark.parametrize("size", [224, 128])
def test_copernicus_fm(tmp_path: Path, bands: list[str], size: int, monkeypatch: pytest.MonkeyPatch):
    def shallow() -> torch.nn.Module:
        made = theirs.CopernicusFM(embed_dim=768, depth=2, num_heads=12)
        for name in ("pos_embed", "cls_token", "coord_token", "scale_token", "time_token"):
            torch.nn.init.normal_(getattr(made, name), std=0.02)  # zero in an untrained model would hide a slip
        return made

    monkeypatch.setattr(torchgeo_others, "copernicusfm_base", shallow)
    got = embedded(tmp_path, "copernicusfm_base", bands, image_size=size)
    own = shallow().eval()
    own.load_state_dict(read_state(tmp_path / "weights.safetensors"))
    x = prepared(bands, [FIGURES[b][0] for b in bands], [FIGURES[b][1] for b in bands], size)
    published = {"B02": (490, 65), "B03": (560, 35), "B8A": (860, 20), "VV": (5e7, 1e9), "VH": (5e7, 1e9)}
    waves, widths = ([published[b][i] for b in bands] for i in (0, 1))
    with torch.inference_mode():
        want = own(x, torch.full((3, 4), torch.nan), wavelengths=waves, bandwidths=widths, kernel_size=16)
    close(got, want)
    fast = embedded(tmp_path, "copernicusfm_base", bands, torch.bfloat16, image_size=size)
    assert F.cosine_similarity(got, fast).min() > 0.999


@pytest.mark.parametrize("bands", [S1, ["B02", "B11", "VH"]], ids=["s1", "both"])
def test_panopticon(tmp_path: Path, bands: list[str], monkeypatch: pytest.MonkeyPatch):
    own = theirs.panopticon_vitb14(img_size=224)
    own.model.blocks = own.model.blocks[:2]
    monkeypatch.setattr(torchgeo_others, "panopticon_vitb14", lambda: own)
    got = embedded(tmp_path, "panopticon_vitb14", bands)
    numbers = [{"VV": -1.0, "VH": -2.0}.get(b, 1000 * (BANDS[b].wavelength or 0)) for b in bands]
    x = prepared(bands, [FIGURES[b][0] for b in bands], [FIGURES[b][1] for b in bands], 224)
    with torch.inference_mode():
        want = own.eval()({"imgs": x, "chn_ids": torch.tensor([numbers] * 3)})
    close(got, want)
    fast = embedded(tmp_path, "panopticon_vitb14", bands, torch.bfloat16)
    assert F.cosine_similarity(got, fast).min() > 0.999


@pytest.mark.parametrize(("pooling", "layer"), [("mean", None), ("max", None), ("cls", None), ("mean", 3), ("cls", 0)])
def test_pooling_and_layers_are_timms_own(tmp_path: Path, pooling: str, layer: int | None):
    model = "vit_small_patch16_224"
    got = embedded(tmp_path, model, S1, pooling=pooling, layer=layer)
    own: Any = theirs.vit_small_patch16_224(in_chans=2, num_classes=0).eval()
    own.load_state_dict(read_state(tmp_path / "weights.safetensors"))
    x = prepared(S1, [0.0, 0.0], [1.0, 1.0], 224)
    with torch.inference_mode():
        tokens = own.forward_features(x)
        if layer is not None:
            tokens = own._pos_embed(own.patch_embed(x))
            for block in own.blocks[: layer + 1]:
                tokens = block(tokens)
    over = {"mean": tokens[:, 1:].mean(1), "max": tokens[:, 1:].amax(1), "cls": tokens[:, 0]}
    close(got, over[pooling])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("resnet18", {"pooling": "cls"}, "no class token"),
        ("resnet18", {"layer": 1}, "the blocks of this model have no numbers"),
        ("vit_small_patch16_224", {"layer": 12}, "has the blocks 0 to 11, not 12"),
        ("resnet18", {"wavelengths": [1, 2]}, "takes no wavelengths"),
    ],
)
def test_what_a_model_has_not_is_said(tmp_path: Path, model: str, options: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        embedded(tmp_path, model, S1, **options)


def test_what_is_known_of_weights_is_torchgeos():
    path = REPOSITORY / "config/write_torchgeo.py"
    spec = importlib.util.spec_from_file_location("write_torchgeo", path)
    script: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(script)  # type: ignore[union-attr]
    written = (registry.PACKAGE / "resources/torchgeo_weights.yaml").read_text()
    assert written.endswith(script.text()), "run `make docs`"
    facts = registry.kind("models", "torchgeo").facts
    assert {*facts["published"], *facts["others"]} == set(facts["options"]["model"]["enum"])
    for model, known in facts["others"].items():
        assert known["weights"] == {member.name: member.url for member in get_model_weights(model)}


@pytest.mark.skipif(not Int8Linear.available(), reason="this CPU has no units for int8")
def test_int8_is_for_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match="precision: int8 is made for transformers, and resnet18 has none of timm's"):
        embedded(tmp_path, "resnet18", S2, torch.int8)
    (tmp_path / "weights.safetensors").unlink()
    want = embedded(tmp_path, "vit_small_patch16_224", S1)
    got = embedded(tmp_path, "vit_small_patch16_224", S1, torch.int8)
    assert F.cosine_similarity(got, want).min() > 0.99
    # Where the CPU has no units for bfloat16, float32 is the rest.
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    nearer = embedded(tmp_path, "vit_small_patch16_224", S1, torch.int8)
    assert F.cosine_similarity(got, want).min() < F.cosine_similarity(nearer, want).min() < 1
