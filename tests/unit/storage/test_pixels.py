from pathlib import Path

import numpy as np
import pytest
from earthprobe.sensors import BANDS, bands_of
from earthprobe.steps import shard
from earthprobe.storage.doubling import double
from earthprobe.storage.pixels import read_patches, read_shards, resample
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from torchgeo.datasets import BigEarthNet

from tests.archives import both_sensors
from tests.conftest import Indexer, TinyArchive, index_folder, read_band

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


@pytest.mark.parametrize("size", [60, 1, 7])
def test_doubling_is_torchs_to_the_bit(size: int):
    """Sums of integers of 16 bits with quarters are exact, so that their order does not count."""
    values = np.random.default_rng(size).integers(0, 65_536, (40, size, size)).astype(np.uint16)
    values[0] = 65_535
    out = np.full((40, 3, 2 * size, 2 * size), np.nan, np.float32)
    double(values, out[:, 1])
    np.testing.assert_array_equal(out[:, 1], resample(values, 2 * size))
    assert np.isnan(out[:, [0, 2]]).all()


def test_pixels_lie_in_the_memory_that_is_given(root: Path):
    paths, given = shards(root), []

    def room(shape: tuple[int, ...]) -> np.ndarray:
        given.append(np.full(shape, np.nan, np.float32))
        return given[-1]

    got, fresh = (list(read_shards(paths, ["VV", "B05", "B01"], 4, *more)) for more in ([room], []))
    assert all(pixels is memory for (_, pixels), memory in zip(got, given, strict=True))
    assert [ids for ids, _ in got] == [ids for ids, _ in fresh]
    for (_, ours), (_, theirs) in zip(got, fresh, strict=True):
        np.testing.assert_array_equal(ours, theirs)


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
        shard.run(patches=patches, sensor=sensor, source=[root / folder], shard=0, output=paths[-1])
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


@pytest.mark.parametrize("batch_size", [1, 3, 5, 8, 100])
def test_patches_that_a_sensor_lacks_are_left_out_and_batches_stay_full(
    tiny: TinyArchive,
    patches_of: Indexer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
):
    """Over several row groups, with other patches missing in each sensor; against the files."""
    monkeypatch.setattr("earthprobe.steps.shard.ROW_GROUP", 7)
    for split, count in (("train", 16), ("val", 6), ("test", 6)):
        for _ in range(count):
            tiny.add(split)
    optical = tiny.add_optical()
    ids = sorted(path.name for path in tiny.s1_folder.iterdir())
    dark, blind = {ids[1], ids[9], ids[10], ids[27]}, {ids[0], ids[9], ids[15]}
    for patch_id in dark:
        (tiny.s1_folder / patch_id / f"{patch_id}_VH.tif").unlink()
    for patch_id in blind:
        name = tiny.s2_name(patch_id)
        (optical / name / f"{name}_B12.tif").write_bytes(b"")
    patches = patches_of(tiny, shards=1)
    shards = [tmp_path / "s1.parquet", tmp_path / "s2.parquet"]
    for sensor, folder, path in zip(("s1", "s2"), (tiny.s1_folder, optical), shards, strict=True):
        shard.run(patches=patches, sensor=sensor, source=[folder], shard=0, output=path)
    batches = list(read_shards(shards, ["VV", "B02"], batch_size))
    both = [patch_id for patch_id in ids if patch_id not in dark | blind]
    assert [patch_id for found, _ in batches for patch_id in found] == both
    assert [len(found) for found, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    pixels = dict(zip(both, np.concatenate([values for _, values in batches]), strict=True))
    alone = [read_patches(path, ids) for path in shards]
    assert [set(found) for found in alone] == [set(ids) - dark, set(ids) - blind]
    for patch_id in ids:
        vv = read_band(tiny.s1_folder / patch_id / f"{patch_id}_VV.tif")
        name = tiny.s2_name(patch_id)
        b02, b09 = (read_band(optical / name / f"{name}_{band}.tif") for band in ("B02", "B09"))
        if patch_id in pixels:
            np.testing.assert_array_equal(pixels[patch_id], [vv, b02])
        if patch_id not in dark:
            np.testing.assert_array_equal(alone[0][patch_id]["VV"], vv)
        if patch_id not in blind:
            np.testing.assert_array_equal(alone[1][patch_id]["B09"], b09)
