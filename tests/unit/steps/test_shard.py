from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import rasterio
from earthprobe.archives.interface import NO_S2
from earthprobe.errors import UserError
from earthprobe.sensors import bands_of
from earthprobe.steps import index_patches, shard
from earthprobe.storage.parquet import read_metadata
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
    assert metadata["shape"] == {"VV": [120, 120], "VH": [120, 120]}
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
    assert metadata["unit"] == "reflectance x 10,000"
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


def test_an_empty_shard_is_a_file_without_rows(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    patches = patches_of(twelve, shards=500)
    empty = next(n for n in range(500) if n not in set(pl.read_parquet(patches)["shard"]))
    out = tmp_path / "empty.parquet"
    shard.run(patches=patches, sensor="s1", source=[twelve.s1_folder], shard=empty, output=out)
    assert pl.read_parquet(out).height == 0
    assert list(read_shards([out], S1, 4)) == []
