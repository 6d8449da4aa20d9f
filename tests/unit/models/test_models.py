"""What every kind of model must do, the package's and the one that docs/extending.md shows."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from earthprobe import registry
from earthprobe.config import entry_of, schema
from earthprobe.models.assemble import encoder_of
from earthprobe.models.interface import Batch, Encoder, Inputs, Model, Normalization, Prepare
from earthprobe.models.options import OF_EVERY_MODEL
from earthprobe.steps import embed_weights

from tests.clone import example

BANDS = ["VV", "VH"]
OPTIONS: dict[str, dict[str, Any]] = {
    "dofa": {"model": "dofa_base_patch16_224"},
    "galileo": {"model": "nano"},
    "torchgeo": {"model": "vit_small_patch16_224"},
    "timm": {"model": "resnet18"},
    "statistics": {},
    "rcf": {},
    "callable": {"target": "tests.unit.models.test_models:build", "options": {"percentiles": [50]}},
    "own": {},
}
BFLOAT16 = [name for name in registry.names("models") if "precision" in registry.kind("models", name).facts["options"]]

pytestmark = pytest.mark.usefixtures("shallow_dofa")


@pytest.fixture(scope="module")
def folder(shallow_dofa: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the kinds that have any, and a model of one's own."""
    made = tmp_path_factory.mktemp("models")
    (made / "own.py").write_text(example("my_model.py"))
    for name in registry.names("models"):
        if "weights" in registry.kind("models", name).facts["options"]:
            path = made / f"{name}.safetensors"
            embed_weights.run(kind=name, model=OPTIONS[name]["model"], bands=BANDS, weights="random:0", output=path)
    return made


def built(name: str, folder: Path, dtype: torch.dtype = torch.float32) -> Encoder:
    """A model as the step builds it."""
    weights = folder / f"{name}.safetensors"
    kind = str(folder / "own.py") if name == "own" else name
    given = {"weights": "random:0"} if weights.exists() else {}
    entry = entry_of("models", json.dumps({"kind": kind, "bands": BANDS, **given, **OPTIONS[name]}), "x")
    inputs = Inputs(BANDS, [-12.0, -19.0], [5.0, 5.5], entry.get("image_size"), entry.get("normalization", "none"))
    return encoder_of(entry, inputs, weights if weights.exists() else None, "cpu", dtype)


def dates(pixels: torch.Tensor) -> torch.Tensor:
    """A month and a day for each patch."""
    return torch.tensor([[5.0, 164.0]]).repeat(len(pixels), 1)


def build(weights: Path | None, inputs: Inputs, **options: Any) -> Model:
    """What `kind: callable` calls."""
    return registry.load("models", "statistics").build(weights, inputs, **options)


def test_every_kind_is_tested():
    seeing = {name for name in registry.names("models") if registry.kind("models", name).facts.get("pixels", True)}
    assert set(OPTIONS) == seeing | {"own"}
    assert {"dofa", "galileo", "timm", "torchgeo"} <= set(BFLOAT16)


@pytest.mark.parametrize("name", OPTIONS)
@torch.inference_mode()
def test_a_batch_of_patches_becomes_a_batch_of_vectors(name: str, folder: Path, pixels: torch.Tensor):
    encoder = built(name, folder)
    model = encoder.model
    vectors = encoder(pixels, dates(pixels))
    assert vectors.shape == (len(pixels), model.dimensions)
    assert vectors.dtype == torch.float32
    assert torch.isfinite(vectors).all()
    assert len(torch.unique(vectors, dim=0)) == len(pixels), "patches are told apart"
    assert model.pooling
    assert isinstance(model.settings, dict)


@pytest.mark.parametrize("name", OPTIONS)
@torch.inference_mode()
def test_a_vector_does_not_depend_on_the_batch(name: str, folder: Path, pixels: torch.Tensor):
    encoder = built(name, folder)
    whole = encoder(pixels, dates(pixels))
    alone = torch.cat([encoder(patch[None], dates(patch[None])) for patch in pixels])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-4)
    backwards = encoder(pixels.flip(0), dates(pixels)).flip(0)
    torch.testing.assert_close(backwards, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", OPTIONS)
@torch.inference_mode()
def test_pixels_are_not_changed(name: str, folder: Path, pixels: torch.Tensor):
    encoder = built(name, folder)
    before = pixels.clone()
    encoder(pixels, dates(pixels))
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", BFLOAT16)
@torch.inference_mode()
def test_bfloat16_is_near_float32(name: str, folder: Path, pixels: torch.Tensor):
    exact, fast = built(name, folder), built(name, folder, torch.bfloat16)
    want, got = exact(pixels, dates(pixels)), fast(pixels, dates(pixels))
    assert got.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(want, got).min() > 0.999


@pytest.mark.parametrize("name", registry.names("models"))
def test_the_options_of_a_kind_are_those_of_its_yaml_file(name: str):
    module = registry.load("models", name)
    parameters = inspect.signature(getattr(module, "build", None) or module.vectors).parameters
    keywords = {key: p.default for key, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    facts = registry.kind("models", name).facts
    options = {key: option for key, option in facts["options"].items() if key not in OF_EVERY_MODEL}
    assert keywords.keys() == options.keys()
    for key, default in keywords.items():
        if default is inspect.Parameter.empty:
            assert key in facts["required"]
        else:
            plain = {} if key == "options" else list(default) if isinstance(default, tuple) else default
            assert plain == options[key].get("default", shared(options[key]).get("default"))
    assert facts.get("unit", "any") in ("z-score", "dB", "amplitude", "reflectance x 10,000", "any")


def shared(option: dict[str, Any]) -> dict[str, Any]:
    """The definition that an option refers to."""
    defs: dict[str, Any] = schema()["$defs"]
    return defs[option["$ref"].removeprefix("#/$defs/")] if "$ref" in option else {}


def test_preparing_is_a_z_score_and_a_bilinear_resize():
    pixels = torch.randn(2, 2, 8, 8) * 3 + 1
    zscore = Normalization([1.0, 2.0], [3.0, 4.0])
    want = (pixels - torch.tensor([1.0, 2.0]).view(-1, 1, 1)) / torch.tensor([3.0, 4.0]).view(-1, 1, 1)
    assert torch.equal(Prepare(zscore, None)(pixels).pixels, want)
    resized = torch.nn.functional.interpolate(want, size=(16, 16), mode="bilinear", align_corners=False)
    assert torch.equal(Prepare(zscore, 16)(pixels).pixels, resized)
    assert torch.equal(Prepare(None, None)(pixels).pixels, pixels)
    assert torch.equal(Prepare(zscore._replace(limits=(-0.5, 1.0)), None)(pixels).pixels, want.clip(-0.5, 1.0))
    assert isinstance(Prepare(None, 16)(pixels), Batch)
