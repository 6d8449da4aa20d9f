import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import rasterio
import torch
import torch.nn.functional as F  # noqa: N812
from earthprobe.errors import UserError
from earthprobe.models import dofa
from earthprobe.models.dofa import Dofa, architecture
from earthprobe.models.interface import Normalization, Prepare
from earthprobe.models.packed import Int8Linear
from earthprobe.models.weights import load, origin_of
from earthprobe.sensors import BANDS, bands_of
from earthprobe.steps import embed, embed_weights, shard, shard_statistics
from earthprobe.steps.embed import choose_device, choose_precision
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.pixels import read_shards
from torch import nn

from tests.archives import both_sensors
from tests.conftest import Indexer, TinyArchive, index_folder, read_band

BASE = "dofa_base_patch16_224"
LICENCE = "CDLA-Permissive-1.0"

pytestmark = pytest.mark.usefixtures("shallow_dofa")


@pytest.fixture(scope="module")
def weights(shallow_dofa: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    embed_weights.run(kind="dofa", model=BASE, weights="random:0", output=path)
    return path


def load_model(path: Path) -> nn.Module:
    return load(path, lambda: architecture(BASE))


def encoder_of(weights: Path, wavelengths: Sequence[float], figures: dict) -> nn.Sequential:
    """The model of these weights behind the normalisation that a feature set names."""
    model = Dofa(load_model(weights), wavelengths).place("cpu", torch.float32)
    return nn.Sequential(Prepare(Normalization(figures["mean"], figures["std"]), 224), model)


def shard_of(archive: TinyArchive, patches_of: Indexer, out: Path) -> tuple[Path, Path]:
    """A shard of all patches, and its statistics."""
    patches = patches_of(archive, shards=1)
    pixels, statistics = out / "shard.parquet", out / "statistics.json"
    shard.run(patches=patches, sensor="s1", source=[archive.s1_folder], shard=0, licence=LICENCE, output=pixels)
    shard_statistics.run(
        patches=patches, shards=[pixels], max_rejected=0.1, output=statistics, rejected=out / "rejected.csv"
    )
    return pixels, statistics


def run(archive: TinyArchive, patches_of: Indexer, weights: Path, out: Path, **options: object) -> Path:
    pixels, statistics = shard_of(archive, patches_of, out)
    entry: dict[str, Any] = {
        "kind": "dofa",
        "model": BASE,
        "weights": "random:0",
        "bands": ["VV", "VH"],
        "wavelengths": [3.75, 3.75],
        "image_size": 224,
        "precision": "float32",
    } | options
    embed.run(
        model=json.dumps(entry),
        shard=[pixels],
        statistics=[statistics],
        weights=weights,
        device="cpu",
        threads=2,
        output=out / "features.parquet",
    )
    return out / "features.parquet"


def test_contract(
    twelve: TinyArchive, patches_of: Indexer, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("earthprobe.steps.embed.BATCH", {"cpu": 5})
    monkeypatch.setattr("earthprobe.steps.embed.ROW_GROUP", 8)  # 12 patches: batches of 5, 5, 2; row groups of 10 and 2
    path = run(twelve, patches_of, weights, tmp_path)
    schema = pq.read_schema(path)
    assert schema.names == ["patch_id", "embedding"]
    assert str(schema.field("embedding").type) == "fixed_size_list<element: float not null>[768]"
    metadata = read_metadata(path)
    assert metadata["model"] == "dofa_base_patch16_224"
    assert metadata["weights"] == "random:0"
    assert {key: metadata[key] for key in origin_of(weights)} == origin_of(weights)
    assert metadata["kind"] == "dofa"
    assert metadata["units"] == {"VV": "dB", "VH": "dB"}
    assert metadata["normalization"]["kind"] == "zscore"
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
    encoder = encoder_of(weights, [3.75, 3.75], figures)
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
    encoder = encoder_of(weights, wavelengths, figures)
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
    for sensor, path, figures in zip(sensors, shards, statistics, strict=True):
        shard.run(patches=patches, sensor=sensor, source=[tmp_path / folders[sensor]], shard=0, output=path)
        shard_statistics.run(
            patches=patches, shards=[path], max_rejected=0, output=figures, rejected=tmp_path / f"{sensor}.csv"
        )
    bands = [band for sensor in sensors for band in bands_of(sensor)]
    wavelengths = [BANDS[band].wavelength or 3.75 for band in bands]
    out = tmp_path / "features.parquet"
    entry = {
        "kind": "dofa",
        "model": BASE,
        "weights": "random:0",
        "bands": bands,
        "wavelengths": wavelengths if sensors == ["s2"] else None,  # the bands' own
        "image_size": 224,
        "precision": "float32",
    }
    embed.run(
        model=json.dumps(entry),
        shard=shards,
        statistics=statistics,
        weights=weights,
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
    assert metadata["wavelengths"] == wavelengths
    assert metadata["units"] == {b: "dB" if b.startswith("V") else "reflectance x 10,000" for b in bands}
    np.testing.assert_allclose(metadata["normalization"]["mean"], [mean for mean, _ in expected], rtol=1e-4)
    np.testing.assert_allclose(metadata["normalization"]["std"], [std for _, std in expected], rtol=1e-4)
    model = load_model(weights)
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
    model = load_model(weights)
    model.blocks[0].mlp.fc1.bias.data[0] = torch.nan
    monkeypatch.setattr(dofa, "load", lambda path, architecture: model)
    with pytest.raises(UserError, match="is not finite: check the weights"):
        run(twelve, patches_of, weights, tmp_path)
    assert not (tmp_path / "features.parquet").exists()


def test_defaults_are_those_of_the_kind(twelve: TinyArchive, patches_of: Indexer, weights: Path, tmp_path: Path):
    full = pl.read_parquet(run(twelve, patches_of, weights, tmp_path))
    statistics, pixels = tmp_path / "statistics.json", tmp_path / "shard.parquet"
    entry = {"model": BASE, "weights": "random:0", "bands": ["VV", "VH"], "precision": "float32"}  # dofa by default
    out = tmp_path / "again.parquet"
    embed.run(
        model=json.dumps(entry),
        shard=[pixels],
        statistics=[statistics],
        weights=weights,
        device="cpu",
        threads=2,
        output=out,
    )
    assert pl.read_parquet(out).equals(full)
    assert read_metadata(out) == read_metadata(tmp_path / "features.parquet")
    with pytest.raises(UserError, match=r"--model: unknown key `image_sise`: did you mean `image_size`\?"):
        run(twelve, patches_of, weights, tmp_path, image_sise=224)
    with pytest.raises(UserError, match="--model: nonsense is not valid JSON"):
        embed.run(model="nonsense", shard=[pixels], statistics=[statistics], weights=weights, output=out)


def test_statistics_need_no_weights_and_see_the_pixels_in_their_unit(
    twelve: TinyArchive, patches_of: Indexer, tmp_path: Path
):
    pixels, statistics = shard_of(twelve, patches_of, tmp_path)
    out = tmp_path / "features.parquet"
    entry = {"kind": "statistics", "bands": ["VH", "VV"], "percentiles": [50]}
    embed.run(model=json.dumps(entry), shard=[pixels], statistics=[statistics], device="cpu", threads=2, output=out)
    table, metadata = pl.read_parquet(out), read_metadata(out)
    assert table["patch_id"].to_list() == sorted(patch for names in twelve.splits.values() for patch in names)
    for patch_id, vector in table.rows():
        planes = [read_band(twelve.s1_folder / patch_id / f"{patch_id}_{b}.tif") for b in ("VH", "VV")]
        want = [f(p.astype(np.float64)) for p in planes for f in (np.mean, np.std, np.min, np.max, np.median)]
        np.testing.assert_allclose(vector, want, rtol=1e-5)
    assert metadata["kind"] == "statistics"
    assert (metadata["model"], metadata["weights"], metadata["weights_licence"]) == ("", "", None)
    assert metadata["percentiles"] == [50]
    assert metadata["normalization"] == {"kind": "none"}
    assert metadata["image_size"] == 120
    assert "wavelengths" not in metadata


OWN = """
import torch
from torch import nn
from earthprobe.models.interface import Model

class Means(Model):
    pooling = "mean"
    settings = {"times": 1}

    def __init__(self, inputs, times):
        super().__init__()
        self.dimensions, self.settings, self.times = len(inputs.bands), {"times": times}, times

    def forward(self, batch):
        return batch.pixels.mean(dim=(2, 3)) * self.times

def build(weights, inputs, *, times=3):
    return Means(inputs, times)
"""


def test_a_model_of_the_users_own(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    pixels, statistics = shard_of(twelve, patches_of, tmp_path)
    (tmp_path / "means.py").write_text(OWN)
    out = tmp_path / "features.parquet"
    entry = {"kind": str(tmp_path / "means.py"), "bands": ["VV"], "times": 5}
    embed.run(model=json.dumps(entry), shard=[pixels], statistics=[statistics], device="cpu", threads=2, output=out)
    metadata = read_metadata(out)
    assert metadata["times"] == 5
    assert metadata["normalization"]["kind"] == "zscore"
    figures = json.loads(statistics.read_text())["train"]["VV"]
    for patch_id, (value,) in pl.read_parquet(out).rows():
        plane = read_band(twelve.s1_folder / patch_id / f"{patch_id}_VV.tif").astype(np.float64)
        assert value == pytest.approx(5 * (plane.mean() - figures["mean"]) / figures["std"], abs=1e-4)


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
        with pytest.raises(UserError, match=r"int8: this CPU has no units for it \(VNNI or AMX\): use precision: auto"):
            choose_precision("int8", "cpu")
    assert choose_precision("float32", "cpu") == torch.float32
    with pytest.raises(UserError, match="int8 is for CPUs, and this job runs on a GPU: use precision: auto"):
        choose_precision("int8", "cuda")


@pytest.mark.skipif(not Int8Linear.available(), reason="this CPU has no units for int8")
def test_int8_is_compared_with_float32_before_it_is_used(
    twelve: TinyArchive,
    patches_of: Indexer,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    exact = pl.read_parquet(run(twelve, patches_of, weights, tmp_path))
    caplog.set_level("INFO")
    path = run(twelve, patches_of, weights, tmp_path, precision="int8")
    assert read_metadata(path)["precision"] == "int8"
    coarse = pl.read_parquet(path)
    assert coarse["patch_id"].equals(exact["patch_id"])
    got, want = (torch.from_numpy(table["embedding"].to_numpy().copy()) for table in (coarse, exact))
    cosine = torch.cosine_similarity(got, want)
    assert 0.99 < cosine.min() < 1
    (line,) = [line for line in caplog.messages if line.startswith("int8 and float32 agree")]
    assert line.endswith(f"a cosine of {cosine[:8].min():.4f} or more in the first 8 patches")
    path.unlink()
    monkeypatch.setattr("earthprobe.steps.embed.LEAST_COSINE", 0.99999999)
    with pytest.raises(UserError, match=r"int8 is too coarse for this model: its vector of S1\S+ has a cosine of 0\.9"):
        run(twelve, patches_of, weights, tmp_path, precision="int8")
    assert not path.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize(("given", "warnings"), [("0", 1), ("", 0)])
def test_a_gpu_that_torch_does_not_see_is_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, given: str, warnings: int
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert choose_device("auto") == "cpu"
    assert len([m for m in caplog.messages if "a GPU that torch does not see" in m]) == warnings


def test_a_patch_whose_date_is_not_known_is_named(tmp_path: Path):
    path = tmp_path / "patches.parquet"
    dates = [datetime.date(2017, 6, 13), None]
    pl.DataFrame({"patch_id": ["a", "b"], "date": dates}).write_parquet(path)
    pixels = np.zeros((2, 1, 2, 2), np.float32)
    ((_, (_, known, _)),) = embed._seen(iter([(["a"], pixels[:1])]), ["date"], path)
    np.testing.assert_array_equal(known, [[5, 164]])
    with pytest.raises(UserError, match="does not know the date of b$"):
        list(embed._seen(iter([(["a", "b"], pixels)]), ["date"], path))
