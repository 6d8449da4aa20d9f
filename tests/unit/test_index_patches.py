import csv
import hashlib
import lzma
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.errors import UserError
from earthprobe.index_patches import read_split, read_splits, shard_of
from earthprobe.layout import SPLITS
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
    counts = dict(zip(*np.unique([s for _, s in splits.members.values()], return_counts=True), strict=True))
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
