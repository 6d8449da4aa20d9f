"""What every kind of model must do, the package's and the one that docs/extending.md shows."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from earthprobe import registry
from earthprobe.models.interface import Batch, Inputs, Model, Prepare
from earthprobe.steps import embed_weights
from earthprobe.steps.embed import OF_EVERY_MODEL

from tests.clone import example

BANDS = ["VV", "VH"]
OPTIONS: dict[str, dict[str, Any]] = {"dofa": {"model": "dofa_base_patch16_224"}, "statistics": {}, "own": {}}
SIZES = {"dofa": 224}
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
            embed_weights.run(kind=name, model=OPTIONS[name]["model"], weights="random:0", output=path)
    return made


def built(name: str, folder: Path, dtype: torch.dtype = torch.float32) -> tuple[Prepare, Model]:
    """A model as the step builds it, and what prepares its pixels."""
    inputs = Inputs(BANDS, [-12.0, -19.0], [5.0, 5.5], SIZES.get(name))
    weights = folder / f"{name}.safetensors"
    module = registry.load("models", str(folder / "own.py") if name == "own" else name)
    model = module.build(weights if weights.exists() else None, inputs, **OPTIONS[name]).place("cpu", dtype)
    return Prepare(inputs, None if name == "statistics" else "zscore"), model.eval()


def test_every_kind_is_tested():
    assert set(OPTIONS) == {*registry.names("models"), "own"}
    assert BFLOAT16 == ["dofa"]


@pytest.mark.parametrize("name", OPTIONS)
@torch.inference_mode()
def test_a_batch_of_patches_becomes_a_batch_of_vectors(name: str, folder: Path, pixels: torch.Tensor):
    prepare, model = built(name, folder)
    vectors = model(prepare(pixels))
    assert vectors.shape == (len(pixels), model.dimensions)
    assert vectors.dtype == torch.float32
    assert torch.isfinite(vectors).all()
    assert len(torch.unique(vectors, dim=0)) == len(pixels), "patches are told apart"
    assert model.pooling
    assert isinstance(model.settings, dict)


@pytest.mark.parametrize("name", OPTIONS)
@torch.inference_mode()
def test_a_vector_does_not_depend_on_the_batch(name: str, folder: Path, pixels: torch.Tensor):
    prepare, model = built(name, folder)
    whole = model(prepare(pixels))
    alone = torch.cat([model(prepare(patch[None])) for patch in pixels])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-4)
    backwards = model(prepare(pixels.flip(0))).flip(0)
    torch.testing.assert_close(backwards, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", OPTIONS)
@torch.inference_mode()
def test_pixels_are_not_changed(name: str, folder: Path, pixels: torch.Tensor):
    prepare, model = built(name, folder)
    before = pixels.clone()
    model(prepare(pixels))
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", BFLOAT16)
@torch.inference_mode()
def test_bfloat16_is_near_float32(name: str, folder: Path, pixels: torch.Tensor):
    prepare, exact = built(name, folder)
    _, fast = built(name, folder, torch.bfloat16)
    want, got = exact(prepare(pixels)), fast(prepare(pixels))
    assert got.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(want, got).min() > 0.999


@pytest.mark.parametrize("name", registry.names("models"))
def test_the_options_of_a_kind_are_those_of_its_yaml_file(name: str):
    parameters = inspect.signature(registry.load("models", name).build).parameters
    keywords = {key: p.default for key, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    facts = registry.kind("models", name).facts
    options = {key: option for key, option in facts["options"].items() if key not in OF_EVERY_MODEL}
    assert keywords.keys() == options.keys()
    for key, default in keywords.items():
        if default is inspect.Parameter.empty:
            assert key in facts["required"]
        else:
            assert (list(default) if isinstance(default, tuple) else default) == options[key]["default"]
    assert facts["unit"] in ("z-score", "dB", "amplitude", "reflectance x 10,000", "any")


def test_preparing_is_a_z_score_and_a_bilinear_resize():
    pixels = torch.randn(2, 2, 8, 8) * 3 + 1
    inputs = Inputs(BANDS, [1.0, 2.0], [3.0, 4.0], 16)
    want = (pixels - torch.tensor([1.0, 2.0]).view(-1, 1, 1)) / torch.tensor([3.0, 4.0]).view(-1, 1, 1)
    assert torch.equal(Prepare(inputs._replace(image_size=None), "zscore")(pixels).pixels, want)
    resized = torch.nn.functional.interpolate(want, size=(16, 16), mode="bilinear", align_corners=False)
    assert torch.equal(Prepare(inputs, "zscore")(pixels).pixels, resized)
    assert torch.equal(Prepare(inputs._replace(image_size=None), None)(pixels).pixels, pixels)
    assert isinstance(Prepare(inputs, None)(pixels), Batch)
