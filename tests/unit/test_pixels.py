from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.bands import BANDS, bands_of
from earthprobe.pixels import read_patches, read_shards, resample
from earthprobe.shard import write_shard
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from torchgeo.datasets import BigEarthNet

from tests.archives import both_sensors
from tests.conftest import index_folder, read_band

S2 = bands_of("s2")


@pytest.mark.parametrize("size", [20, 60, 7])
def test_resampling_is_gdals(size: int):
    planes = np.random.default_rng(size).uniform(0, 10_000, (3, size, size)).astype(np.float32)
    ours = resample(planes)
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=size, height=size, count=3, dtype="float32") as image:
            image.write(planes)
        with memory.open() as image:
            gdals = image.read(out_shape=(3, 120, 120), resampling=Resampling.bilinear)
    np.testing.assert_allclose(ours, gdals, atol=0.02)


def test_bands_of_10_m_stay_as_they_are():
    planes = np.arange(2 * 14400, dtype=np.uint16).reshape(2, 120, 120)
    assert resample(planes) is planes


@pytest.fixture
def root(v1_sample: Path, tmp_path: Path) -> Path:
    """The real patches of v1 that have both sensors."""
    both_sensors(v1_sample, tmp_path)
    return tmp_path


def shards(root: Path) -> list[Path]:
    files = {split: root / f"bigearthnet-{split}.csv" for split in ("train", "val", "test")}
    patches = index_folder(root / "BigEarthNet-S1-v1.0", files, root, 1, "both")
    paths = []
    for sensor, folder in (("s1", "BigEarthNet-S1-v1.0"), ("s2", "BigEarthNet-v1.0")):
        paths.append(root / f"{sensor}.parquet")
        write_shard(patches, sensor, [root / folder], 0, paths[-1])
    return paths


def test_real_patches_are_torchgeos_to_its_rounding(root: Path):
    """Torchgeo reads reflectance as GDAL resamples it, and rounds it."""
    (ids, ours), *none = read_shards([shards(root)[1]], S2, 100)
    assert none == []
    pairs = dict(zip(ids, ours, strict=True))
    dataset = BigEarthNet(str(root), split="train", bands="s2")
    assert len(dataset) == 4
    for number, folders in enumerate(dataset.folders):
        theirs = dataset[number]["image"].numpy()
        np.testing.assert_allclose(pairs[Path(folders["s1"]).name], theirs, atol=0.51)


def test_both_sensors_come_in_the_order_asked_for(root: Path):
    bands = ["B12", "VH", "B8A", "B02", "VV"]
    batches = list(read_shards(shards(root), bands, 4))
    assert [len(ids) for ids, _ in batches] == [4, 2]
    names = {line.split(",")[1]: line.split(",")[0] for p in root.glob("*.csv") for line in p.read_text().split()}
    for ids, pixels in batches:
        assert pixels.dtype == np.float32
        for patch_id, planes in zip(ids, pixels, strict=True):
            for band, plane in zip(bands, planes, strict=True):
                folder, name = (
                    ("BigEarthNet-S1-v1.0", patch_id) if band[0] == "V" else ("BigEarthNet-v1.0", names[patch_id])
                )
                stored = read_band(root / folder / name / f"{name}_{band}.tif")
                assert stored.shape == (BANDS[band].size,) * 2
                np.testing.assert_array_equal(plane, resample(stored[None])[0])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_a_patch_that_one_sensor_lacks_is_left_out_and_batches_stay_full(root: Path, batch_size: int):
    patches = sorted(p.name for p in (root / "BigEarthNet-S1-v1.0").iterdir())
    names = {line.split(",")[1]: line.split(",")[0] for p in root.glob("*.csv") for line in p.read_text().split()}
    (root / "BigEarthNet-S1-v1.0" / patches[1] / f"{patches[1]}_VH.tif").unlink()
    dark = names[patches[4]]
    (root / "BigEarthNet-v1.0" / dark / f"{dark}_B09.tif").write_bytes(b"")
    s1, s2 = shards(root)
    assert pl.read_parquet(s1)["patch_id"].to_list() == patches[:1] + patches[2:]
    assert pl.read_parquet(s2)["patch_id"].to_list() == patches[:4] + patches[5:]
    batches = list(read_shards([s1, s2], ["VV", "B02"], batch_size))
    both = [patches[i] for i in (0, 2, 3, 5)]
    assert [patch_id for ids, _ in batches for patch_id in ids] == both
    assert [len(ids) for ids, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    pixels = np.concatenate([values for _, values in batches])
    for number, (sensor, band) in enumerate(((s1, "VV"), (s2, "B02"))):
        alone = read_patches(sensor, both)
        np.testing.assert_array_equal(pixels[:, number], [alone[patch_id][band] for patch_id in both])
