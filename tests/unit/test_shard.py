from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import rasterio
from earthprobe.errors import UserError
from earthprobe.files import read_metadata
from earthprobe.shard import BANDS, read_shard, write_shard

from tests.conftest import Indexer, TinyArchive, index_real


def test_real_pixels_are_unchanged_vv_first(tmp_path: Path, v1_sample: Path):
    s1_folder = v1_sample / "BigEarthNet-S1-v1.0"
    patches = index_real(v1_sample, tmp_path, 2)
    seen = []
    for shard in range(2):
        out = tmp_path / f"{shard}.parquet"
        write_shard(patches, [s1_folder], shard, out)
        for ids, pixels in read_shard(out, BANDS, 16):
            assert pixels.dtype == np.float32
            for patch_id, values in zip(ids, pixels, strict=True):
                for band, plane in zip(BANDS, values, strict=True):
                    with rasterio.open(s1_folder / patch_id / f"{patch_id}_{band}.tif") as image:
                        np.testing.assert_array_equal(plane, image.read(1))
            seen += ids
        assert pl.read_parquet(out, columns=["patch_id"])["patch_id"].is_sorted()
    assert sorted(seen) == pl.read_parquet(patches)["patch_id"].to_list()


def test_contract(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    out = tmp_path / "0000.parquet"
    write_shard(patches_of(twelve, shards=1), [twelve.s1_folder], 0, out)
    schema = pq.read_schema(out)
    assert schema.names == ["patch_id", "VV", "VH"]
    assert str(schema.field("VV").type) == "fixed_size_list<element: float not null>[14400]"
    metadata = read_metadata(out)
    assert metadata["bands"] == ["VV", "VH"]
    assert metadata["shape"] == [120, 120]
    assert metadata["sums"]["train"]["VV"]["count"] == 6 * 14400
    assert metadata["sums"]["all"]["VV"]["count"] == 12 * 14400


def test_an_unreadable_patch_is_left_out_and_named(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    patches = patches_of(twelve, shards=1)
    missing, cut = twelve.splits["train"][0], twelve.splits["test"][1]
    (twelve.s1_folder / missing / f"{missing}_VH.tif").unlink()
    path = twelve.s1_folder / cut / f"{cut}_VV.tif"
    path.write_bytes(path.read_bytes()[:30_000])
    out = tmp_path / "0000.parquet"
    write_shard(patches, [twelve.s1_folder], 0, out)
    rejected = {r[0]: r[1:] for r in read_metadata(out)["rejected"]}
    assert set(rejected) == {missing, cut}
    assert rejected[missing] == ["train", f"{missing}_VH.tif is missing"]
    assert "cannot be read" in rejected[cut][1]
    assert set(pl.read_parquet(out)["patch_id"]) == {p for s in twelve.splits.values() for p in s} - {missing, cut}


def test_swapped_bands_name_the_shard(tiny: TinyArchive, patches_of: Indexer, tmp_path: Path):
    dark = np.full((120, 120), -19, dtype=np.float32)
    bright = np.full((120, 120), -12, dtype=np.float32)
    for split in ("train", "val", "test"):
        for _ in range(4):
            tiny.add(split, vv=dark, vh=bright)
    out = tmp_path / "0000.parquet"
    with pytest.raises(UserError, match=r"shard 0000 of tiny: VV is darker than VH \(-19.0 against -12.0 dB\)"):
        write_shard(patches_of(tiny, shards=1), [tiny.s1_folder], 0, out)
    assert list(tmp_path.glob(".*.part")) == []
    assert not out.exists()


def test_an_empty_shard_is_a_file_without_rows(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    patches = patches_of(twelve, shards=500)
    empty = next(n for n in range(500) if n not in set(pl.read_parquet(patches)["shard"]))
    out = tmp_path / "empty.parquet"
    write_shard(patches, [twelve.s1_folder], empty, out)
    assert pl.read_parquet(out).height == 0
    assert list(read_shard(out, BANDS, 4)) == []
