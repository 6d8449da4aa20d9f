import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import rasterio
import tifffile
from earthprobe.archives.interface import NO_S2
from earthprobe.errors import UserError
from earthprobe.sensors import BANDS, bands_of
from earthprobe.steps import index_patches, shard
from earthprobe.steps.shard import oddity
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.pixel_sums import PixelSums
from earthprobe.storage.pixels import read_shards

from tests.archives import both_sensors
from tests.conftest import SHARED, Indexer, TinyArchive, index_folder, index_real, needs, read_band

S1 = ("VV", "VH")


def test_real_pixels_are_unchanged_vv_first(tmp_path: Path, v1_sample: Path):
    s1_folder = v1_sample / "BigEarthNet-S1-v1.0"
    patches = index_real(v1_sample, tmp_path, 2)
    seen = []
    for number in range(2):
        out = tmp_path / f"{number}.parquet"
        shard.run(patches=patches, sensor="s1", source=[s1_folder], shard=number, output=out)
        for ids, pixels in read_shards([out], S1, 16):
            assert pixels.dtype == np.float32
            for patch_id, values in zip(ids, pixels, strict=True):
                for band, plane in zip(S1, values, strict=True):
                    with rasterio.open(s1_folder / patch_id / f"{patch_id}_{band}.tif") as image:
                        np.testing.assert_array_equal(plane, image.read(1))
            seen += ids
        assert pl.read_parquet(out, columns=["patch_id"])["patch_id"].is_sorted()
    assert sorted(seen) == pl.read_parquet(patches)["patch_id"].to_list()


def test_contract(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    out = tmp_path / "0000.parquet"
    shard.run(
        patches=patches_of(twelve, shards=1),
        sensor="s1",
        source=[twelve.s1_folder],
        shard=0,
        licence="CC0-1.0",
        output=out,
    )
    schema = pq.read_schema(out)
    assert schema.names == ["patch_id", "VV", "VH"]
    assert str(schema.field("VV").type) == "fixed_size_list<element: float not null>[14400]"
    metadata = read_metadata(out)
    assert (metadata["archive"], metadata["simulated"], metadata["licence"]) == ("tiny", False, "CC0-1.0")
    assert metadata["bands"] == ["VV", "VH"]
    assert metadata["sensor"] == "s1"
    assert metadata["shape"] == {"VV": [120, 120], "VH": [120, 120]}
    assert metadata["units"] == {"VV": "dB", "VH": "dB"}
    assert metadata["wavelengths"] == {"VV": None, "VH": None}
    assert metadata["sums"]["train"]["VV"]["count"] == 6 * 14400
    assert metadata["sums"]["all"]["VV"]["count"] == 12 * 14400


def test_contract_of_reflectance(v1_sample: Path, tmp_path: Path):
    names = both_sensors(v1_sample, tmp_path)
    files = {split: tmp_path / f"bigearthnet-{split}.csv" for split in ("train", "val", "test")}
    patches = index_folder(tmp_path / "BigEarthNet-S1-v1.0", files, tmp_path, 1, "both")
    out = tmp_path / "0000.parquet"
    shard.run(patches=patches, sensor="s2", source=[tmp_path / "BigEarthNet-v1.0"], shard=0, output=out)
    schema, metadata = pq.read_schema(out), read_metadata(out)
    assert schema.names == ["patch_id", *bands_of("s2")]
    for band, size in (("B02", 14400), ("B05", 3600), ("B09", 400)):
        assert str(schema.field(band).type) == f"fixed_size_list<element: uint16 not null>[{size}]"
        assert metadata["shape"][band] == [int(size**0.5)] * 2
        assert metadata["sums"]["train"][band]["count"] == 4 * size
    assert metadata["sensor"] == "s2"
    assert metadata["units"] == dict.fromkeys(bands_of("s2"), "reflectance x 10,000")
    assert metadata["wavelengths"] == {band: BANDS[band].wavelength for band in bands_of("s2")}
    assert metadata["odd"] == []
    table = pl.read_parquet(out)
    assert table["patch_id"].to_list() == sorted(names)
    for row in table.iter_rows(named=True):
        name = names[row["patch_id"]]
        for band in bands_of("s2"):
            with rasterio.open(tmp_path / f"BigEarthNet-v1.0/{name}/{name}_{band}.tif") as image:
                np.testing.assert_array_equal(row[band], image.read(1).ravel())


def test_reben_patches_of_both_sensors_are_paired_by_its_table(tmp_path: Path):
    """Its S2 names are padded, and its S1 names are not."""
    folder = needs(SHARED / "reben-sample/BigEarthNet-S2")
    optical = sorted(path.name for path in folder.glob("*/*"))
    assert len(optical) == 2
    official = pl.read_parquet(needs(SHARED / "reben-metadata/metadata.parquet"))
    absent = official.row(0, named=True)["patch_id"]
    table = official.filter(pl.col("patch_id").is_in([*optical, absent]))
    table = table.with_columns(split=pl.Series(["train", "validation", "test"]))
    table.write_parquet(tmp_path / "metadata.parquet")
    for name in table["s1_name"]:
        (tmp_path / "s1" / name.rsplit("_", 3)[0] / name).mkdir(parents=True)
    index_patches.run(
        kind="reben",
        files=[tmp_path / "s1"],
        lists=[tmp_path / "metadata.parquet"],
        shards=1,
        archive="reben",
        output=tmp_path / "patches.parquet",
        mismatches=tmp_path / "mismatches.csv",
    )
    out = tmp_path / "0000.parquet"
    shard.run(patches=tmp_path / "patches.parquet", sensor="s2", source=[folder], shard=0, output=out)
    rows = {row["patch_id"]: row for row in pl.read_parquet(out).iter_rows(named=True)}
    pairs = dict(table.select("patch_id", "s1_name").rows())
    assert sorted(rows) == sorted(pairs[name] for name in optical)
    for name in optical:
        (path,) = folder.glob(f"*/{name}/{name}_B11.tif")
        with rasterio.open(path) as image:
            np.testing.assert_array_equal(rows[pairs[name]]["B11"], image.read(1).ravel())
    ((patch_id, _, reason),) = read_metadata(out)["rejected"]
    assert (patch_id, reason) == (pairs[absent], NO_S2)


def test_an_unreadable_patch_is_left_out_and_named(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    patches = patches_of(twelve, shards=1)
    missing, cut = twelve.splits["train"][0], twelve.splits["test"][1]
    (twelve.s1_folder / missing / f"{missing}_VH.tif").unlink()
    path = twelve.s1_folder / cut / f"{cut}_VV.tif"
    path.write_bytes(path.read_bytes()[:30_000])
    out = tmp_path / "0000.parquet"
    shard.run(patches=patches, sensor="s1", source=[twelve.s1_folder], shard=0, output=out)
    rejected = {r[0]: r[1:] for r in read_metadata(out)["rejected"]}
    assert set(rejected) == {missing, cut}
    assert rejected[missing] == ["train", f"{missing}_VH.tif is missing"]
    assert "cannot be read" in rejected[cut][1]
    ((ids, pixels),) = read_shards([out], S1, 100)
    assert set(ids) == {p for s in twelve.splits.values() for p in s} - {missing, cut}
    for patch_id, planes in zip(ids, pixels, strict=True):
        for band, plane in zip(S1, planes, strict=True):
            np.testing.assert_array_equal(plane, read_band(twelve.s1_folder / patch_id / f"{patch_id}_{band}.tif"))


def test_a_patch_whose_file_lies_elsewhere_than_its_name_says_is_left_out(tmp_path: Path):
    real = needs(SHARED / "real-patches")
    georeferenced = []
    for path in sorted(real.glob("S1/*/*_VV.tif")):
        with rasterio.open(path) as image:
            if image.crs is not None:
                georeferenced.append(path.parent)
    folder = tmp_path / "BigEarthNet-S1-v1.0"
    names = [path.name for path in georeferenced[:3]]
    # The pixels of one patch under the name of its neighbour to the south.
    *start, row = names[2].split("_")
    wrong = "_".join([*start, str(int(row) + 1)])
    for source, name in zip(georeferenced[:3], [*names[:2], wrong], strict=True):
        for band in ("VV", "VH"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(source / f"{source.name}_{band}.tif", folder / name / f"{name}_{band}.tif")
    lists = {}
    for split, name in zip(("train", "val", "test"), [*names[:2], wrong], strict=True):
        lists[split] = tmp_path / f"{split}.csv"
        lists[split].write_text(f"S2A_MSIL2A_20170613T101031_0_45,{name}\n")
    patches = index_folder(folder, lists, tmp_path, 1, "moved")
    shard.run(patches=patches, sensor="s1", source=[folder], shard=0, output=tmp_path / "shard.parquet")
    ((patch_id, _, reason),) = read_metadata(tmp_path / "shard.parquet")["rejected"]
    assert patch_id == wrong
    assert "by its GeoTIFF tags, and the patch at" in reason


def test_swapped_bands_name_the_shard(tiny: TinyArchive, patches_of: Indexer, tmp_path: Path):
    dark = np.full((120, 120), -19, dtype=np.float32)
    bright = np.full((120, 120), -12, dtype=np.float32)
    for split in ("train", "val", "test"):
        for _ in range(4):
            tiny.add(split, vv=dark, vh=bright)
    out = tmp_path / "0000.parquet"
    with pytest.raises(UserError, match=r"shard 0000 of tiny: VV is darker than VH \(-19.0 against -12.0 dB\)"):
        shard.run(patches=patches_of(tiny, shards=1), sensor="s1", source=[tiny.s1_folder], shard=0, output=out)
    assert list(tmp_path.glob(".*.part")) == []
    assert not out.exists()


def with_fill(archive: TinyArchive, patch_id: str, nodata: bool) -> None:
    """Puts -9999 into 400 pixels of a patch's VV, and says so in the file or not."""
    path = archive.s1_folder / patch_id / f"{patch_id}_VV.tif"
    pixels = read_band(path).copy()
    pixels.flat[:400] = -9999
    tifffile.imwrite(path, pixels, extratags=[(42113, "s", 0, "-9999", True)] if nodata else [])


@pytest.mark.parametrize("patches", [1, 9, 12])
def test_patches_with_values_that_no_sensor_gives_are_kept_and_said(
    twelve: TinyArchive, patches_of: Indexer, tmp_path: Path, caplog: pytest.LogCaptureFixture, patches: int
):
    """They would move the mean of VV below that of VH, but that swaps no bands."""
    names = [name for names in twelve.splits.values() for name in names]
    for name in names[:patches]:
        with_fill(twelve, name, nodata=False)
    out = tmp_path / "0000.parquet"
    shard.run(patches=patches_of(twelve, shards=1), sensor="s1", source=[twelve.s1_folder], shard=0, output=out)
    metadata = read_metadata(out)
    assert metadata["rejected"] == []
    assert [patch_id for patch_id, _ in metadata["odd"]] == sorted(names[:patches])
    for patch_id, what in metadata["odd"]:
        largest = read_band(twelve.s1_folder / patch_id / f"{patch_id}_VV.tif").max()
        assert what == f"has VV from -9999 to {largest:g}, which no sensor gives"
        assert f"{patch_id} {what}" in caplog.text
    assert pl.read_parquet(out, columns=["patch_id"]).height == 12
    assert metadata["sums"]["all"]["VV"]["smallest"] == -9999
    assert metadata["sums"]["all"]["VV"]["count"] == 12 * 14400


@pytest.mark.parametrize("patches", [1, 9])
def test_missing_pixels_of_one_band_reject_a_patch_and_swap_no_bands(
    twelve: TinyArchive, patches_of: Indexer, tmp_path: Path, patches: int
):
    names = [name for names in twelve.splits.values() for name in names][:patches]
    for name in names:
        with_fill(twelve, name, nodata=True)
    out = tmp_path / "0000.parquet"
    shard.run(patches=patches_of(twelve, shards=1), sensor="s1", source=[twelve.s1_folder], shard=0, output=out)
    metadata = read_metadata(out)
    reason = "lacks 400 of 14400 pixels: they are masked, or have its nodata value"
    assert {(patch_id, why) for patch_id, _, why in metadata["rejected"]} == {
        (n, f"{n}_VV.tif {reason}") for n in names
    }
    assert metadata["odd"] == []
    assert metadata["sums"]["all"]["VV"]["smallest"] > -40


def sums_of(sensor: str, **odd: float) -> list[PixelSums]:
    """Those of ordinary bands, but for some of one value."""
    usual = {"s1": (-45.0, 20.0), "s2": (0.0, 28_000.0)}[sensor]
    return [PixelSums.of(np.array([odd[b]] if b in odd else usual)) for b in bands_of(sensor)]


@pytest.mark.parametrize(
    ("sensor", "odd", "what"),
    [
        ("s1", {}, ""),
        ("s1", {"VV": -80, "VH": 40}, ""),
        ("s1", {"VH": -9999}, "has VH from -9999 to -9999, which no sensor gives"),
        ("s1", {"VV": 200, "VH": 90}, "has VV from 200 to 200, which no sensor gives"),
        ("s2", {}, ""),
        ("s2", {"B03": 1, "B12": 30_000}, ""),
        ("s2", {"B03": 0}, "has only zeros in B03"),
        ("s2", {"B8A": 65535}, "has B8A from 65535 to 65535, which no sensor gives"),
    ],
)
def test_odd_values_are_those_that_no_sensor_gives(sensor: str, odd: dict[str, float], what: str):
    bands = {band: BANDS[band] for band in bands_of(sensor)}
    assert oddity(bands, sums_of(sensor, **odd)) == what


def test_odd_reflectances_are_kept_and_said(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    folder = twelve.add_optical()
    black, full = twelve.splits["train"][:2]
    for patch_id, band, value in ((black, "B05", 0), (full, "B12", 65535)):
        name = twelve.s2_name(patch_id)
        pixels = np.full((60, 60), value, np.uint16)
        tifffile.imwrite(folder / name / f"{name}_{band}.tif", pixels)
    out = tmp_path / "0000.parquet"
    shard.run(patches=patches_of(twelve, shards=1), sensor="s2", source=[folder], shard=0, output=out)
    metadata = read_metadata(out)
    odd = [[black, "has only zeros in B05"], [full, "has B12 from 65535 to 65535, which no sensor gives"]]
    assert metadata["odd"] == sorted(odd)
    assert metadata["rejected"] == []
    assert pl.read_parquet(out, columns=["patch_id"]).height == 12


def test_an_empty_shard_is_a_file_without_rows(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    patches = patches_of(twelve, shards=500)
    empty = next(n for n in range(500) if n not in set(pl.read_parquet(patches)["shard"]))
    out = tmp_path / "empty.parquet"
    shard.run(patches=patches, sensor="s1", source=[twelve.s1_folder], shard=empty, output=out)
    assert pl.read_parquet(out).height == 0
    assert list(read_shards([out], S1, 4)) == []
