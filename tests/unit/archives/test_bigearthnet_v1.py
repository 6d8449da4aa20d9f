import hashlib
import lzma
from collections import Counter
from pathlib import Path

import pytest
from earthprobe.archives.bigearthnet_v1 import entries, folder_of, read_split
from earthprobe.archives.interface import SPLITS, Entry
from earthprobe.errors import UserError
from earthprobe.steps.index_patches import Splits
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, needs


def test_official_split_files(tmp_path: Path):
    folder = needs(SHARED / "bigearthnet-v1-splits")
    paths = {}
    for split in SPLITS:
        paths[split] = tmp_path / f"{split}.csv"
        paths[split].write_bytes(lzma.decompress((folder / f"bigearthnet-{split}.csv.xz").read_bytes()))
        digest = hashlib.md5(paths[split].read_bytes(), usedforsecurity=False).hexdigest()
        assert digest == BigEarthNet.splits_metadata[split]["md5"]
    splits = Splits()
    for entry in entries(list(paths.values())):
        splits.add(entry)
    counts = Counter(entry.split for entry in splits.members.values())
    assert counts == {"train": 269_695, "val": 123_723, "test": 125_866}
    assert splits.mismatches == []


def test_reben_splits_are_refused(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_text("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57,S1A_x\n")
    with pytest.raises(UserError, match=r"train.csv, line 1: .* is a name of reBEN"):
        list(read_split(path))


def test_a_malformed_split_file_is_named(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_text("S2A_a,S1A_a\n\npatch,labels\n")
    with pytest.raises(UserError, match=r"train.csv, line 3: expected `s2 name,s1 name`"):
        list(read_split(path))


def test_a_compressed_split_file_is_named(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_bytes(lzma.compress(b"S2A_a,S1A_a"))
    with pytest.raises(UserError, match=r"train.csv is no text file: unpack it"):
        list(read_split(path))


def test_lists_are_those_of_train_val_and_test(tmp_path: Path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(f"S2A_{path.name},S1A_{path.name}\n")
    assert list(entries(paths)) == [
        Entry("S1A_a", "S2A_a", "train", None),
        Entry("S1A_b", "S2A_b", "val", None),
        Entry("S1A_c", "S2A_c", "test", None),
    ]


def test_real_patches_lie_where_they_should(v1_sample: Path):
    lists = [v1_sample / f"bigearthnet-{split}.csv" for split in SPLITS]
    for sensor, top, patches in (("s1", "BigEarthNet-S1-v1.0", 129), ("s2", "BigEarthNet-v1.0", 6)):
        folders = {folder_of(sensor, entry.patch_id, entry.s2_id) for entry in entries(lists)}
        assert len(folders) == 129
        assert sum((v1_sample / top / folder).is_dir() for folder in folders) == patches
