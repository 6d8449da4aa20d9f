import csv
import hashlib
import lzma
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.config import SPLITS
from earthprobe.errors import UserError
from earthprobe.files import read_metadata
from earthprobe.index import index_bigearthnet_v1, read_split, read_splits, shard_of
from earthprobe.labels import multi_hot
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, Indexer, TinyArchive, needs


@pytest.fixture(scope="module")
def real_index(tmp_path_factory: pytest.TempPathFactory, v1_sample: Path) -> pl.DataFrame:
    out = tmp_path_factory.mktemp("index")
    files = {split: v1_sample / f"bigearthnet-{split}.csv" for split in SPLITS}
    index_bigearthnet_v1(
        v1_sample / "BigEarthNet-S1-v1.0", files, 3, "sample", out / "index.parquet", out / "mismatches.csv"
    )
    assert (out / "mismatches.csv").read_text() == "patch_id,split,problem\n"
    return pl.read_parquet(out / "index.parquet")


def test_real_sample_has_its_splits(real_index: pl.DataFrame):
    counts = dict(real_index["split"].value_counts().iter_rows())
    assert counts == {"train": 69, "val": 25, "test": 35}
    assert real_index["patch_id"].is_sorted()
    assert real_index["country"].null_count() == 129


@pytest.mark.parametrize("classes", [19, 43])
@pytest.mark.parametrize("split", SPLITS)
def test_label_matrices_equal_torchgeos(real_index: pl.DataFrame, v1_sample: Path, classes: int, split: str):
    dataset = BigEarthNet(str(v1_sample), split=split, bands="s1", num_classes=classes)
    theirs = {Path(f["s1"]).name: dataset._load_target(i).numpy() for i, f in enumerate(dataset.folders)}
    ours = real_index.filter(pl.col("split") == split).sort("patch_id")
    assert ours["patch_id"].to_list() == sorted(theirs)
    matrix = multi_hot(ours[f"labels_{classes}"].to_list(), classes)
    np.testing.assert_array_equal(matrix, np.array([theirs[p] for p in ours["patch_id"]]).astype(bool))
    assert matrix.any()


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


def test_patches_that_do_not_match_are_listed(twelve: TinyArchive, index_of: Indexer, tmp_path: Path):
    unlisted = twelve.add(None)
    twice = twelve.splits["val"][0]
    twelve.splits["val"].append(twice)
    leaking = twelve.splits["test"][0]
    twelve.splits["train"].append(leaking)
    twelve.splits["train"].append("S1A_absent")
    index = pl.read_parquet(index_of(twelve))
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


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "labels cannot be read"),
        ("{", "labels file is no JSON"),
        ("[]", "labels file has no list `labels`"),
        ('{"labels": "Pastures"}', "labels file has no list `labels`"),
        ('{"labels": ["Meadow"]}', "unknown class 'Meadow'"),
    ],
)
def test_unreadable_labels_reject_the_patch(twelve: TinyArchive, index_of: Indexer, text: str | None, reason: str):
    bad = twelve.splits["train"][0]
    path = twelve.s1_folder / bad / f"{bad}_labels_metadata.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    out = index_of(twelve)
    assert pl.read_parquet(out).height == 11
    (rejected,) = read_metadata(out)["rejected"]
    assert rejected[:2] == [bad, "train"]
    assert reason in rejected[2]


def test_reben_splits_are_refused(twelve: TinyArchive, index_of: Indexer, tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_text("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57,S1A_x\n")
    with pytest.raises(UserError, match=r"train.csv, line 1: .* is a name of reBEN"):
        list(read_split(path))


def test_a_malformed_split_file_is_named(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_text("S2A_a,S1A_a\n\npatch,labels\n")
    with pytest.raises(UserError, match=r"train.csv, line 3: expected `s2 name,s1 name`"):
        list(read_split(path))


def test_a_split_without_a_patch_stops_the_run(tiny: TinyArchive, index_of: Indexer):
    tiny.add("train")
    tiny.add("val")
    with pytest.raises(UserError, match="not one readable patch .* belongs to test"):
        index_of(tiny)
