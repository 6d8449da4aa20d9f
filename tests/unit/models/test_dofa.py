"""DOFA against torchgeo's own, and against what is published of its weights."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.models import dofa, packed
from earthprobe.models.dofa import Dofa, architecture
from earthprobe.models.interface import Batch, Inputs, Normalization, Prepare
from earthprobe.models.weights import fit_state
from earthprobe.sensors import BANDS
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import nn
from torchgeo.models import DOFA

from tests.conftest import SHARED, needs

BASE = "dofa_base_patch16_224"
MEAN, STD = [-12.6, -19.3], [5.1, 5.5]
INPUTS = Inputs(["VV", "VH"], MEAN, STD, 224)


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """DOFA base with two of its twelve blocks, for this test alone."""
    two = partial(DOFA, patch_size=16, embed_dim=768, depth=2, num_heads=12)
    monkeypatch.setitem(dofa.ARCHITECTURES, BASE, dofa.ARCHITECTURES[BASE]._replace(build=two))


def encoder_of(
    model: nn.Module,
    wavelengths: list[float],
    dtype: torch.dtype = torch.float32,
    inputs: Inputs = INPUTS,
    layer: Any = packed.PackedLinear,
) -> nn.Sequential:
    """What the step `embed` runs."""
    dofa = Dofa(model, wavelengths).place("cpu", dtype)
    if dtype == torch.bfloat16:
        packed.speed_up(dofa, layer)
    return nn.Sequential(Prepare(Normalization(inputs.mean, inputs.std), inputs.image_size), dofa)


def expected(model: torch.nn.Module, pixels: torch.Tensor, wavelengths: list[float]) -> torch.Tensor:
    """torchgeo's own forward pass over the same input."""
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (MEAN, STD))
    x = F.interpolate((pixels - mean) / std, size=(224, 224), mode="bilinear")
    with torch.inference_mode():
        return model.forward_features(x, wavelengths)


@pytest.mark.parametrize(
    ("model", "wavelengths"),
    [
        ("dofa_base_patch16_224", [3.75, 3.75]),
        ("dofa_base_patch16_224", [5.405, 0.665]),
        ("dofa_large_patch16_224", [3.75, 0.665]),
    ],
    ids=str,
)
def test_embeddings_equal_torchgeos(
    pixels: torch.Tensor, model: str, wavelengths: list[float], monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(1)
    large = partial(DOFA, patch_size=16, embed_dim=1024, depth=2, num_heads=16)  # of 24 blocks, to spare 12 seconds
    monkeypatch.setitem(
        dofa.ARCHITECTURES, "dofa_large_patch16_224", dofa.Architecture(large, dofa.DOFALarge16_Weights)
    )
    theirs = architecture(model)
    torch.nn.init.normal_(theirs.pos_embed, std=0.02)  # zero in an untrained model, so it would hide a slip
    torch.nn.init.normal_(theirs.cls_token, std=0.02)
    want = expected(theirs, pixels[:2], wavelengths)
    encoder = encoder_of(theirs, wavelengths)
    with torch.inference_mode():
        got = encoder(pixels[:2])
    assert got.shape == (2, encoder[1].dimensions)
    assert encoder[1].dimensions == {"dofa_base_patch16_224": 768, "dofa_large_patch16_224": 1024}[model]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)
    assert want.std() > 0.1


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("size", [112, 128, 256])
def test_position_embedding_is_interpolated_to_other_sizes(pixels: torch.Tensor, size: int):
    theirs: Any = architecture(BASE)
    torch.nn.init.normal_(theirs.pos_embed, std=0.02)
    encoder = Dofa(theirs, [3.75, 3.75], size)
    x = F.interpolate(pixels[:2], size=(size, size), mode="bilinear")
    theirs.pos_embed = nn.Parameter(resample_abs_pos_embed(theirs.pos_embed, [size // 16, size // 16]))
    with torch.inference_mode():
        torch.testing.assert_close(encoder(Batch(x)), theirs.forward_features(x, [3.75, 3.75]), atol=1e-4, rtol=0)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize(("pooling", "layer"), [("max", None), ("cls", None), ("mean", 0), ("default", 0), ("cls", 1)])
def test_pooling_and_layers(pixels: torch.Tensor, pooling: Any, layer: int | None):
    theirs: Any = architecture(BASE)
    torch.nn.init.normal_(theirs.cls_token, std=0.02)
    seen: list[torch.Tensor] = []
    theirs.blocks[len(theirs.blocks) - 1 if layer is None else layer].register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    x = F.interpolate(pixels[:2], size=(224, 224), mode="bilinear")
    with torch.inference_mode():
        theirs.forward_features(x, [3.75, 3.75])
        tokens = seen[0]
        want = {"max": tokens[:, 1:].amax(1), "cls": tokens[:, 0]}.get(pooling, tokens[:, 1:].mean(1))
        if layer is None:
            want = theirs.fc_norm(want)
        got = Dofa(theirs, [3.75, 3.75], 224, pooling, layer)(Batch(x))
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


@pytest.mark.usefixtures("shallow")
def test_block_that_there_is_not_is_said():
    model: Any = architecture(BASE)
    with pytest.raises(UserError, match=rf"has the blocks 0 to {len(model.blocks) - 1}, not 12"):
        Dofa(model, [3.75, 3.75], layer=12)


def test_bfloat16_is_close(pixels: torch.Tensor):
    torch.manual_seed(1)
    want = expected(architecture(BASE), pixels, [3.75, 3.75])
    torch.manual_seed(1)
    encoder = encoder_of(architecture(BASE), [3.75, 3.75], torch.bfloat16)
    with torch.inference_mode():
        got = encoder(pixels)
    assert got.dtype == torch.float32
    assert F.cosine_similarity(got, want).min() > 0.999
    # The cosine of vectors that are alike anyway says little: their differences must agree as well.
    assert F.cosine_similarity(got - got.mean(0), want - want.mean(0)).min() > 0.98


@pytest.mark.parametrize(
    ("bands", "wavelengths"),
    [(["VH", "VV"], [3.75, 3.75]), (["B8A", "VV", "B02"], [BANDS["B8A"].wavelength, 3.75, BANDS["B02"].wavelength])],
    ids=str,
)
def test_wavelengths_are_the_bands_own_where_none_is_given(
    bands: list[str], wavelengths: list[float], monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(1)
    theirs = architecture(BASE)
    monkeypatch.setattr(dofa, "load", lambda path, architecture: theirs)
    inputs = Inputs(bands, [0.0] * len(bands), [1.0] * len(bands), 224)
    assert dofa.build(Path("x"), inputs, model=BASE).settings == {"wavelengths": wavelengths}
    given = [0.5 + i for i in range(len(bands))]
    assert dofa.build(Path("x"), inputs, model=BASE, wavelengths=given).settings == {"wavelengths": given}
    with pytest.raises(UserError, match=f"1 wavelengths for {len(bands)} bands: give one for each band"):
        dofa.build(Path("x"), inputs, model=BASE, wavelengths=[3.75])


@pytest.fixture(scope="module")
def shapes() -> dict[str, dict[str, list[int]]]:
    path = needs(SHARED / "dofa/torchgeo_dofa_state_dict_shapes.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("model", ["dofa_base_patch16_224", "dofa_large_patch16_224"])
def test_published_keys_and_shapes_fit(shapes: dict, model: str):
    with torch.device("meta"):
        built = architecture(model)
        # The published files have torchgeo's keys and shapes, without what may lack.
        state = {key: torch.zeros(shape) for key, shape in shapes[model].items() if key not in dofa.MAY_LACK}
    fitted = fit_state(state, built, dofa.MAY_LACK, "x.pth")
    assert {k: list(v.shape) for k, v in fitted.items()} == {
        k: s for k, s in shapes[model].items() if not k.startswith("head.")
    }
    whole = {k: torch.empty(s, device="meta") for k, s in shapes[model].items()}
    assert dict(fit_state(whole, built, dofa.MAY_LACK, "x")).keys()


@pytest.mark.parametrize("model", sorted(dofa.ARCHITECTURES))
def test_what_is_known_of_models_and_weights_is_torchgeos(model: str):
    facts = registry.kind("models", "dofa").facts
    members = dofa.ARCHITECTURES[model].weights.__members__
    assert facts["weights"] == list(members)
    assert dofa.published(model) == {name: (member.url, "") for name, member in members.items()}
    assert sorted(facts["options"]["model"]["enum"]) == sorted(dofa.ARCHITECTURES)


def test_the_withdrawn_weights_are_refused_by_hash_and_by_name():
    for name, digest in (("dofa_base_patch16_224-7cc0f413.pth", "0" * 64), ("base.pth", "7cc0f413" + 56 * "0")):
        with pytest.raises(UserError, match="withdrawn DOFA weights 7cc0f413"):
            dofa.refuse(Path(name), digest)
    dofa.refuse(Path("dofa_base_patch16_224-a0275954.pth"), "a0275954" + 56 * "0")


AUTHORS = ("mask_token", "norm.weight", "norm.bias", "projector.weight", "projector.bias")


def test_the_authors_own_checkpoint_fits_with_its_five_keys_and_with_no_other(shapes: dict):
    with torch.device("meta"):
        built = dofa.architecture("dofa_base_patch16_224")
        state = {key: torch.zeros(shape) for key, shape in shapes["dofa_base_patch16_224"].items()}
        state |= {key: torch.zeros(768) for key in AUTHORS}
    assert fit_state(state, built, dofa.MAY_LACK, "DOFA_ViT_base_e100.pth").keys() == built.state_dict().keys()
    with pytest.raises(UserError, match=r"DOFA_ViT_base_e100.pth holds projector2.weight \(1 surplus\)"):
        fit_state(state | {"projector2.weight": torch.zeros(1)}, built, dofa.MAY_LACK, "DOFA_ViT_base_e100.pth")


@pytest.mark.usefixtures("shallow")
def test_equal_wavelengths_give_equal_kernels_so_that_the_sum_alone_is_seen(pixels: torch.Tensor):
    model = architecture(BASE)
    kernel, _ = dofa.generated(model.patch_embed, [3.75, 3.75])
    assert (kernel[:, 0] - kernel[:, 1]).abs().max() == 0.0
    distinct, _ = dofa.generated(model.patch_embed, [5.4, 5.6])
    assert (distinct[:, 0] - distinct[:, 1]).abs().max() > 0
    x = F.interpolate(pixels[:2], size=(224, 224), mode="bilinear") / 10
    moved = x + torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)  # VV brighter and VH darker by as much
    together, alone = Dofa(model, [3.75, 3.75]), dofa.BandByBand(architecture(BASE), [3.75, 3.75])
    with torch.inference_mode():
        torch.testing.assert_close(together(Batch(x)), together(Batch(moved)), atol=2e-4, rtol=0)
        torch.testing.assert_close(together(Batch(x)), together(Batch(x.flip(1))), atol=2e-4, rtol=0)
        assert (alone(Batch(x)) - alone(Batch(moved))).abs().max() > 1e-2
        first, second = alone(Batch(x)).split(768, dim=1)
        swapped = alone(Batch(x.flip(1))).split(768, dim=1)
    assert (first - second).abs().max() > 1e-2
    torch.testing.assert_close(swapped, (second, first), atol=1e-5, rtol=0)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_band_after_the_other_is_torchgeos_of_each(pixels: torch.Tensor, dtype: torch.dtype):
    theirs: Any = architecture(BASE)
    torch.nn.init.normal_(theirs.pos_embed, std=0.02)
    x = F.interpolate(pixels[:2], size=(224, 224), mode="bilinear") / 10
    waves = [3.75, 0.665]
    with torch.inference_mode():
        want = torch.cat([theirs.forward_features(x[:, i : i + 1], [wave]) for i, wave in enumerate(waves)], dim=1)
        ours = dofa.BandByBand(theirs, waves).place("cpu", dtype)
        if dtype == torch.bfloat16:
            packed.speed_up(ours)
        got = ours(Batch(x))
    assert got.shape == (2, ours.dimensions) == (2, 1536)
    assert ours.settings == {"wavelengths": waves, "combine": "concat"}
    if dtype == torch.float32:
        torch.testing.assert_close(got, want, atol=1e-4, rtol=0)
    else:
        assert F.cosine_similarity(got, want).min() > 0.999
