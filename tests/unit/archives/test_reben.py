from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from earthprobe.archives.reben import entries, folder_of
from earthprobe.errors import UserError
from earthprobe.steps.index_patches import Splits

from tests.conftest import SHARED, needs

REBEN = SHARED / "reben-metadata"
METADATA = "metadata.parquet"
SNOW_AND_CLOUDS = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
CLEAN = {"train": 237_871, "val": 122_342, "test": 119_825}


def test_official_tables_of_reben():
    splits = Splits()
    for entry in entries([needs(REBEN) / METADATA]):
        splits.add(entry)
    assert Counter(entry.split for entry in splits.members.values()) == CLEAN
    assert splits.mismatches == []
    for entry in entries([REBEN / SNOW_AND_CLOUDS]):
        splits.add(entry)
    assert len(splits.members) == 480_038 + 69_450
    assert splits.mismatches == []


def test_a_table_of_something_else_is_named(tmp_path: Path):
    path = tmp_path / "metadata.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(UserError, match=r"metadata.parquet cannot be read: "):
        list(entries([path]))
    columns = {"patch_id": ["S2A"], "s1_name": [None], "split": ["train"], "country": ["Austria"]}
    pl.DataFrame(columns).write_parquet(path)
    with pytest.raises(UserError, match=r"metadata.parquet: column s1_name is not text, or has missing values$"):
        list(entries([path]))
    pl.DataFrame({"patch_id": ["S2A"], "split": ["train"]}).write_parquet(path)
    with pytest.raises(UserError, match=r"metadata.parquet has no column s1_name: it has patch_id, split$"):
        list(entries([path]))
    pl.DataFrame({"patch_id": ["S2A"], "s1_name": ["S1A"], "split": ["val"], "country": ["Austria"]}).write_parquet(
        path
    )
    with pytest.raises(UserError, match=r"metadata.parquet: 'val' is not a split: expected train, validation, test$"):
        list(entries([path]))


def test_real_patches_lie_in_the_folders_of_their_scenes():
    root = needs(SHARED / "reben-sample")
    listed = list(entries([root / METADATA, needs(REBEN) / METADATA]))
    for sensor, folder in (("s1", "BigEarthNet-S1"), ("s2", "BigEarthNet-S2")):
        found = {str(path.relative_to(root / folder)) for path in (root / folder).glob("*/*")}
        assert len(found) == {"s1": 44, "s2": 2}[sensor]
        assert found <= {folder_of(sensor, entry.patch_id, entry.s2_id) for entry in listed}
