import csv
import hashlib
import lzma
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.errors import UserError
from earthprobe.index_patches import index_patches, read_split, read_splits, read_tables, shard_of
from earthprobe.layout import METADATA, SNOW_AND_CLOUDS, SPLITS
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, Indexer, TinyArchive, index_real, needs


def test_real_sample_has_its_splits(v1_sample: Path, tmp_path: Path):
    patches = pl.read_parquet(index_real(v1_sample, tmp_path, 3))
    assert dict(patches["split"].value_counts().iter_rows()) == {"train": 69, "val": 25, "test": 35}
    assert patches["patch_id"].is_sorted()
    assert patches["country"].null_count() == 129
    assert (tmp_path / "split_mismatches.csv").read_text() == "patch_id,split,problem\n"


def test_official_split_files(tmp_path: Path):
    folder = needs(SHARED / "bigearthnet-v1-splits")
    paths = {}
    for split in SPLITS:
        paths[split] = tmp_path / f"{split}.csv"
        paths[split].write_bytes(lzma.decompress((folder / f"bigearthnet-{split}.csv.xz").read_bytes()))
        digest = hashlib.md5(paths[split].read_bytes(), usedforsecurity=False).hexdigest()
        assert digest == BigEarthNet.splits_metadata[split]["md5"]
    splits = read_splits(paths)
    counts = dict(zip(*np.unique([entry.split for entry in splits.members.values()], return_counts=True), strict=True))
    assert counts == {"train": 269_695, "val": 123_723, "test": 125_866}
    assert splits.mismatches == []


def test_a_shard_is_a_hash_of_the_id_alone():
    ids = [f"S1A_{i}" for i in range(20_000)]
    counts = np.bincount([shard_of(p, 16) for p in ids], minlength=16)
    assert counts.min() > 1100
    assert counts.max() < 1400
    # Written down: a change would move every patch of every user to another shard.
    assert [shard_of(p, 64) for p in ("S1A_0", "S1A_1", "S1A_2")] == [46, 1, 22]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))[1:]


def test_patches_that_do_not_match_are_listed(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    unlisted = twelve.add(None)
    twice = twelve.splits["val"][0]
    twelve.splits["val"].append(twice)
    leaking = twelve.splits["test"][0]
    twelve.splits["train"].append(leaking)
    twelve.splits["train"].append("S1A_absent")
    index = pl.read_parquet(patches_of(twelve))
    assert index.height == 11
    assert leaking not in index["patch_id"].to_list()
    assert sorted(read_csv(tmp_path / "split_mismatches.csv")) == sorted(
        [
            [unlisted, "", "in no split"],
            [twice, "val", "twice in the split: kept once"],
            [leaking, "train", "in two splits: left out"],
            [leaking, "test", "in two splits: left out"],
            ["S1A_absent", "train", "not on disk"],
        ]
    )


def test_reben_splits_are_refused(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_text("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57,S1A_x\n")
    with pytest.raises(UserError, match=r"train.csv, line 1: .* is a name of reBEN"):
        list(read_split(path))


def test_a_malformed_split_file_is_named(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_text("S2A_a,S1A_a\n\npatch,labels\n")
    with pytest.raises(UserError, match=r"train.csv, line 3: expected `s2 name,s1 name`"):
        list(read_split(path))


def test_a_split_without_a_patch_stops_the_run(tiny: TinyArchive, patches_of: Indexer):
    tiny.add("train")
    tiny.add("val")
    with pytest.raises(UserError, match="holds not one patch of test"):
        patches_of(tiny)


def test_a_compressed_split_file_is_named(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_bytes(lzma.compress(b"S2A_a,S1A_a"))
    with pytest.raises(UserError, match=r"train.csv is no text file: unpack it"):
        list(read_split(path))


REBEN = SHARED / "reben-metadata"
CLEAN = {"train": 237_871, "val": 122_342, "test": 119_825}


def test_official_tables_of_reben():
    splits = read_tables([needs(REBEN) / METADATA])
    assert Counter(entry.split for entry in splits.members.values()) == CLEAN
    assert splits.mismatches == []
    both = read_tables([REBEN / METADATA, REBEN / SNOW_AND_CLOUDS])
    assert len(both.members) == 480_038 + 69_450
    assert both.mismatches == []


def test_padding_of_row_and_column_is_that_of_each_name(tmp_path: Path):
    root = needs(SHARED / "reben-sample")
    out = tmp_path / "patches.parquet"
    index_patches(
        [root / "BigEarthNet-S1"],
        read_tables([root / METADATA]),
        shards=2,
        archive="x",
        simulated=False,
        output=out,
        mismatches=tmp_path / "m.csv",
    )
    patches = pl.read_parquet(out)
    assert patches.height == 44
    assert dict(patches["split"].value_counts().iter_rows()) == {"train": 2, "val": 1, "test": 41}
    assert patches["country"].null_count() == 0
    official = pl.read_parquet(root / METADATA).select(patch_id="s1_name", s2_id="patch_id")
    assert patches.join(official, on=["patch_id", "s2_id"]).height == 44
    for patch_id, folder in patches.select("patch_id", "folder").rows():
        assert (root / "BigEarthNet-S1" / folder / f"{patch_id}_VV.tif").is_file()
    assert (tmp_path / "m.csv").read_text() == "patch_id,split,problem\n"


def test_a_table_of_something_else_is_named(tmp_path: Path):
    path = tmp_path / "metadata.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(UserError, match=r"metadata.parquet cannot be read: "):
        read_tables([path])
    columns = {"patch_id": ["S2A"], "s1_name": [None], "split": ["train"], "country": ["Austria"]}
    pl.DataFrame(columns).write_parquet(path)
    with pytest.raises(UserError, match=r"metadata.parquet: column s1_name is no text, or lacks some$"):
        read_tables([path])
    pl.DataFrame({"patch_id": ["S2A"], "split": ["train"]}).write_parquet(path)
    with pytest.raises(UserError, match=r"metadata.parquet has no column s1_name: it has patch_id, split$"):
        read_tables([path])
    pl.DataFrame({"patch_id": ["S2A"], "s1_name": ["S1A"], "split": ["val"], "country": ["Austria"]}).write_parquet(
        path
    )
    with pytest.raises(UserError, match=r"metadata.parquet: 'val' is no split: train, validation, test are$"):
        read_tables([path])


def test_v1_pixels_with_tables_of_reben_are_an_error(v1_sample: Path, tmp_path: Path):
    with pytest.raises(UserError, match="holds not one patch of train: do the archive and its split files belong"):
        index_patches(
            [v1_sample / "BigEarthNet-S1-v1.0"],
            read_tables([needs(REBEN) / METADATA]),
            shards=1,
            archive="x",
            simulated=False,
            output=tmp_path / "patches.parquet",
            mismatches=tmp_path / "m.csv",
        )
