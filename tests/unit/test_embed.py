import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import rasterio
import torch
import torch.nn.functional as F  # noqa: N812
from earthprobe.bands import BANDS, bands_of
from earthprobe.dofa import DofaEncoder, build
from earthprobe.embed import choose_device, choose_precision, embed_shard
from earthprobe.embed_weights import load_model, store_weights
from earthprobe.errors import UserError
from earthprobe.files import read_metadata
from earthprobe.pixels import read_shards
from earthprobe.shard import write_shard
from earthprobe.shard_statistics import write_statistics

from tests.archives import both_sensors
from tests.conftest import V1_SAMPLE, Indexer, TinyArchive, index_folder, read_band

MEAN, STD = [-12.6, -19.3], [5.1, 5.5]


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Real patches where they are at hand, else noise: the two models must agree on anything."""
    folder = V1_SAMPLE / "BigEarthNet-S1-v1.0"
    if not folder.exists():
        return torch.randn(6, 2, 120, 120) * 5 - 15
    patches = sorted(folder.iterdir())[:6]
    return torch.from_numpy(np.stack([[read_band(p / f"{p.name}_{b}.tif") for b in ("VV", "VH")] for p in patches]))


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
def test_embeddings_equal_torchgeos(pixels: torch.Tensor, model: str, wavelengths: list[float]):
    torch.manual_seed(1)
    theirs = build(model)
    torch.nn.init.normal_(theirs.pos_embed, std=0.02)  # zero in an untrained model, so it would hide a slip
    torch.nn.init.normal_(theirs.cls_token, std=0.02)
    want = expected(theirs, pixels[:2], wavelengths)
    encoder = DofaEncoder(theirs, wavelengths, MEAN, STD, 224, torch.float32)
    with torch.inference_mode():
        got = encoder(pixels[:2])
    assert got.shape == (2, encoder.dimensions)
    assert encoder.dimensions == {"dofa_base_patch16_224": 768, "dofa_large_patch16_224": 1024}[model]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)
    assert want.std() > 0.1


@pytest.mark.parametrize("batch", [1, 6])
def test_packed_layers_and_unfused_attention_change_nothing_that_counts(
    pixels: torch.Tensor, batch: int, monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(1)
    model = build("dofa_base_patch16_224")
    fast = DofaEncoder(copy.deepcopy(model), [3.75, 3.75], MEAN, STD, 224, torch.bfloat16)
    monkeypatch.setattr("earthprobe.dofa._speed_up", lambda blocks: None)
    plain = DofaEncoder(model, [3.75, 3.75], MEAN, STD, 224, torch.bfloat16)
    assert type(fast.blocks[0].mlp.fc1) is not type(plain.blocks[0].mlp.fc1)
    with torch.inference_mode():
        got, want = fast(pixels[:batch]), plain(pixels[:batch])
        x = torch.randn(batch, 197, 768).bfloat16()
        assert torch.equal(fast.blocks[0].attn.qkv(x), plain.blocks[0].attn.qkv(x))
        assert torch.equal(fast.blocks[3].mlp.fc2(x.repeat(1, 1, 4)), plain.blocks[3].mlp.fc2(x.repeat(1, 1, 4)))
    assert F.cosine_similarity(got, want).min() > 0.9999
    assert F.cosine_similarity(got - got.mean(1, True), want - want.mean(1, True)).min() > 0.999


def test_a_cpu_without_bfloat16_units_keeps_the_plain_layers():
    text = """
import torch
from earthprobe.dofa import _PackedLinear, _speed_up, build
blocks = build("dofa_base_patch16_224").blocks[:1].bfloat16()
_speed_up(blocks)
with torch.inference_mode():
    blocks[0](torch.zeros(1, 197, 768, dtype=torch.bfloat16))
print(_PackedLinear.available(), type(blocks[0].mlp.fc1).__name__)
"""
    limited = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=limited)
    assert done.stdout.split() == ["False", "Linear"]


def test_bfloat16_is_close(pixels: torch.Tensor):
    torch.manual_seed(1)
    want = expected(build("dofa_base_patch16_224"), pixels, [3.75, 3.75])
    torch.manual_seed(1)
    encoder = DofaEncoder(build("dofa_base_patch16_224"), [3.75, 3.75], MEAN, STD, 224, torch.bfloat16)
    with torch.inference_mode():
        got = encoder(pixels)
    assert got.dtype == torch.float32
    assert F.cosine_similarity(got, want).min() > 0.999
    # The cosine of vectors that are alike anyway says little: their differences must agree as well.
    assert F.cosine_similarity(got - got.mean(0), want - want.mean(0)).min() > 0.98


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    store_weights("dofa_base_patch16_224", "random:0", path)
    return path


def run(archive: TinyArchive, patches_of: Indexer, weights: Path, out: Path, **options: object) -> Path:
    patches = patches_of(archive, shards=1)
    write_shard(patches, "s1", [archive.s1_folder], 0, out / "shard.parquet")
    write_statistics(patches, [out / "shard.parquet"], 0.1, out / "statistics.json")
    settings: dict = {
        "bands": ["VV", "VH"],
        "wavelengths": [3.75, 3.75],
        "image_size": 224,
        "precision": "float32",
        "device": "cpu",
        "threads": 2,
    } | options
    embed_shard(
        [out / "shard.parquet"], [out / "statistics.json"], weights, output=out / "features.parquet", **settings
    )
    return out / "features.parquet"


def test_contract(
    twelve: TinyArchive, patches_of: Indexer, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("earthprobe.embed.BATCH", {"cpu": 5})
    monkeypatch.setattr("earthprobe.embed.ROW_GROUP", 8)  # 12 patches: batches of 5, 5, 2; row groups of 10 and 2
    path = run(twelve, patches_of, weights, tmp_path)
    schema = pq.read_schema(path)
    assert schema.names == ["patch_id", "embedding"]
    assert str(schema.field("embedding").type) == "fixed_size_list<element: float not null>[768]"
    metadata = read_metadata(path)
    assert metadata["model"] == "dofa_base_patch16_224"
    assert metadata["weights"] == "random:0"
    assert metadata["bands"] == ["VV", "VH"]
    assert metadata["wavelengths"] == [3.75, 3.75]
    assert metadata["precision"] == "float32"
    assert metadata["image_size"] == 224
    assert metadata["device"] == "cpu"
    assert (metadata["licence"], metadata["weights_licence"]) == ("CDLA-Permissive-1.0", None)
    assert {"archive", "simulated", "sha256", "pooling", "earthprobe_version", "torch_version"} <= metadata.keys()
    # The z-score's figures are those of the train split, so train pixels come out with mean 0 and deviation 1.
    figures = metadata["normalization"]
    train = np.stack([[read_band(twelve.s1_folder / p / f"{p}_{b}.tif") for b in ("VV", "VH")] for p in
                      twelve.splits["train"]])  # fmt: skip
    scaled = (train - np.array(figures["mean"])[:, None, None]) / np.array(figures["std"])[:, None, None]
    np.testing.assert_allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 2, 3)), 1, atol=1e-5)
    table = pl.read_parquet(path)
    assert table["patch_id"].is_sorted()
    assert table.height == 12
    # The written vectors are those of the encoder.
    model, _ = load_model(weights)
    encoder = DofaEncoder(model, [3.75, 3.75], figures["mean"], figures["std"], 224, torch.float32)
    ((_, batch),) = read_shards([tmp_path / "shard.parquet"], ["VV", "VH"], 12)
    with torch.inference_mode():
        want = encoder(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(table["embedding"].to_numpy(), want, atol=1e-5)


@pytest.mark.parametrize("bands", [["VH"], ["VH", "VV"]], ids="-".join)
def test_bands_are_taken_in_the_configured_order(
    twelve: TinyArchive, patches_of: Indexer, weights: Path, tmp_path: Path, bands: list[str]
):
    wavelengths = [3.75, 5.405][: len(bands)]
    got = pl.read_parquet(run(twelve, patches_of, weights, tmp_path, bands=bands, wavelengths=wavelengths))
    figures = read_metadata(tmp_path / "features.parquet")["normalization"]
    # The files themselves, not the shard, say which band is which.
    planes = [[read_band(twelve.s1_folder / p / f"{p}_{b}.tif") for b in bands] for p in got["patch_id"][:3]]
    encoder = DofaEncoder(load_model(weights)[0], wavelengths, figures["mean"], figures["std"], 224, torch.float32)
    with torch.inference_mode():
        want = encoder(torch.from_numpy(np.array(planes))).numpy()
    np.testing.assert_allclose(got["embedding"].to_numpy()[:3], want, atol=1e-4)
    assert figures["mean"] == [pytest.approx({"VV": -12, "VH": -19}[b], abs=0.5) for b in bands]


@pytest.mark.parametrize("sensors", [["s2"], ["s1", "s2"]], ids="-".join)
def test_both_sensors_go_through_the_same_model(v1_sample: Path, weights: Path, tmp_path: Path, sensors: list[str]):
    """Against torchgeo's forward pass over pixels that rasterio read and torch resampled, normalised and resized."""
    names = both_sensors(v1_sample, tmp_path)
    splits = {split: tmp_path / f"bigearthnet-{split}.csv" for split in ("train", "val", "test")}
    patches = index_folder(tmp_path / "BigEarthNet-S1-v1.0", splits, tmp_path, 1, "both")
    folders = {"s1": "BigEarthNet-S1-v1.0", "s2": "BigEarthNet-v1.0"}
    shards, statistics = ([tmp_path / f"{s}{end}" for s in sensors] for end in (".parquet", ".json"))
    for sensor, shard, figures in zip(sensors, shards, statistics, strict=True):
        write_shard(patches, sensor, [tmp_path / folders[sensor]], 0, shard)
        write_statistics(patches, [shard], 0, figures)
    bands = [band for sensor in sensors for band in bands_of(sensor)]
    wavelengths = [BANDS[band].wavelength for band in bands]
    out = tmp_path / "features.parquet"
    embed_shard(
        shards,
        statistics,
        weights,
        bands=bands,
        wavelengths=wavelengths,
        image_size=224,
        precision="float32",
        device="cpu",
        threads=2,
        output=out,
    )
    train = [line.split(",")[1] for line in splits["train"].read_text().split()]
    columns, expected = [], []
    for band in bands:
        folder = folders[BANDS[band].sensor]
        read = {}
        for patch_id in sorted(names):
            name = patch_id if band.startswith("V") else names[patch_id]
            with rasterio.open(tmp_path / folder / name / f"{name}_{band}.tif") as image:
                read[patch_id] = torch.from_numpy(image.read(1).astype(np.float32))
        of_train = torch.stack([read[patch_id] for patch_id in train])
        expected.append((of_train.mean().item(), of_train.std(correction=0).item()))
        planes = F.interpolate(torch.stack([*read.values()])[:, None], size=(120, 120), mode="bilinear")
        columns.append((planes - expected[-1][0]) / expected[-1][1])
    metadata = read_metadata(out)
    assert metadata["bands"] == bands
    np.testing.assert_allclose(metadata["normalization"]["mean"], [mean for mean, _ in expected], rtol=1e-4)
    np.testing.assert_allclose(metadata["normalization"]["std"], [std for _, std in expected], rtol=1e-4)
    model, _ = load_model(weights)
    with torch.inference_mode():
        resized = F.interpolate(torch.cat(columns, dim=1), size=(224, 224), mode="bilinear")
        want = model.forward_features(resized, wavelengths)
    table = pl.read_parquet(out)
    assert table["patch_id"].to_list() == sorted(names)
    np.testing.assert_allclose(table["embedding"].to_numpy(), want.numpy(), atol=1e-3)
    assert want.std() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wavelengths": [3.75]}, "1 wavelengths for 2 bands"),
        ({"bands": ["VV", "B04"]}, "has no band B04: it holds VV, VH"),
    ],
)
def test_what_does_not_fit_is_an_error(
    twelve: TinyArchive, patches_of: Indexer, weights: Path, tmp_path: Path, options: dict, message: str
):
    with pytest.raises(UserError, match=message):
        run(twelve, patches_of, weights, tmp_path, **options)
    assert not (tmp_path / "features.parquet").exists()


def test_embeddings_that_are_not_finite_are_refused(
    twelve: TinyArchive, patches_of: Indexer, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model, origin = load_model(weights)
    model.blocks[0].mlp.fc1.bias.data[0] = torch.nan
    monkeypatch.setattr("earthprobe.embed.load_model", lambda path: (model, origin))
    with pytest.raises(UserError, match="is not finite: check the weights"):
        run(twelve, patches_of, weights, tmp_path)
    assert not (tmp_path / "features.parquet").exists()


def test_device_and_precision(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(UserError, match="torch sees no GPU"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"
    assert choose_device("cpu") == "cpu"
    for units, want in (({"avx512_bf16": True}, torch.bfloat16), ({"avx512_f": True}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda units=units: units)
        assert choose_precision("auto", "cpu") == want
    assert choose_precision("float32", "cpu") == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize(("given", "warnings"), [("0", 1), ("", 0)])
def test_a_gpu_that_torch_does_not_see_is_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, given: str, warnings: int
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert choose_device("auto") == "cpu"
    assert len([m for m in caplog.messages if "a GPU that torch does not see" in m]) == warnings
