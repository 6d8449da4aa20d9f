import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import index_patches
from earthprobe.steps.index_patches import shard_of

from tests.conftest import SHARED, Indexer, TinyArchive, index_real, needs


def test_real_sample_has_its_splits(v1_sample: Path, tmp_path: Path):
    patches = pl.read_parquet(index_real(v1_sample, tmp_path, 3))
    assert dict(patches["split"].value_counts().iter_rows()) == {"train": 69, "val": 25, "test": 35}
    assert patches["patch_id"].is_sorted()
    assert patches["country"].null_count() == 129
    assert (tmp_path / "split_mismatches.csv").read_text() == "patch_id,split,problem\n"


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


def test_a_split_without_a_patch_stops_the_run(tiny: TinyArchive, patches_of: Indexer):
    tiny.add("train")
    tiny.add("val")
    with pytest.raises(UserError, match="holds no patch of test"):
        patches_of(tiny)


def test_padding_of_row_and_column_is_that_of_each_name(tmp_path: Path):
    root = needs(SHARED / "reben-sample")
    out = tmp_path / "patches.parquet"
    index_patches.run(
        kind="reben",
        files=[root / "BigEarthNet-S1"],
        lists=[root / "metadata.parquet"],
        shards=2,
        archive="x",
        output=out,
        mismatches=tmp_path / "m.csv",
    )
    patches = pl.read_parquet(out)
    assert patches.height == 44
    assert dict(patches["split"].value_counts().iter_rows()) == {"train": 2, "val": 1, "test": 41}
    assert patches["country"].null_count() == 0
    official = pl.read_parquet(root / "metadata.parquet").select(patch_id="s1_name", s2_id="patch_id")
    assert patches.join(official, on=["patch_id", "s2_id"]).height == 44
    for patch_id, folder in patches.select("patch_id", "folder_s1").rows():
        assert (root / "BigEarthNet-S1" / folder / f"{patch_id}_VV.tif").is_file()
    for s2_id, folder in patches.select("s2_id", "folder_s2").rows():
        assert folder == f"{s2_id.rsplit('_', 2)[0]}/{s2_id}"
    assert (tmp_path / "m.csv").read_text() == "patch_id,split,problem\n"


def test_v1_pixels_with_tables_of_reben_are_an_error(v1_sample: Path, tmp_path: Path):
    with pytest.raises(UserError, match="holds no patch of train: do the archive and its split files belong"):
        index_patches.run(
            kind="reben",
            files=[v1_sample / "BigEarthNet-S1-v1.0"],
            lists=[needs(SHARED / "reben-metadata") / "metadata.parquet"],
            shards=1,
            archive="x",
            output=tmp_path / "patches.parquet",
            mismatches=tmp_path / "m.csv",
        )
