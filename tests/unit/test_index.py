from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.files import read_metadata
from earthprobe.index import SCHEMA, write_index
from earthprobe.label_matrix import label_matrix
from earthprobe.layout import SPLITS
from torchgeo.datasets import BigEarthNet

from tests.conftest import Indexer, TinyArchive, index_real


@pytest.fixture(scope="module")
def real_index(tmp_path_factory: pytest.TempPathFactory, v1_sample: Path) -> Path:
    out = tmp_path_factory.mktemp("index")
    write_index(index_real(v1_sample, out, 3), v1_sample / "BigEarthNet-S1-v1.0", 0, out / "index.parquet")
    return out / "index.parquet"


def test_contract(real_index: Path):
    assert pq.read_schema(real_index).names == SCHEMA.names
    index = pl.read_parquet(real_index)
    assert dict(index["split"].value_counts().iter_rows()) == {"train": 69, "val": 25, "test": 35}
    assert index["patch_id"].is_sorted()
    metadata = read_metadata(real_index)
    assert metadata["classes"]["19"] == BigEarthNet.class_sets[19]
    assert metadata["classes"]["43"] == BigEarthNet.class_sets[43]
    assert metadata["rejected"] == []


@pytest.mark.parametrize("classes", [19, 43])
@pytest.mark.parametrize("split", SPLITS)
def test_label_matrices_equal_torchgeos(real_index: Path, v1_sample: Path, classes: int, split: str):
    dataset = BigEarthNet(str(v1_sample), split=split, bands="s1", num_classes=classes)
    theirs = {Path(f["s1"]).name: dataset._load_target(i).numpy() for i, f in enumerate(dataset.folders)}
    ours = pl.read_parquet(real_index).filter(pl.col("split") == split).sort("patch_id")
    assert ours["patch_id"].to_list() == sorted(theirs)
    matrix = label_matrix(ours[f"labels_{classes}"], classes)
    np.testing.assert_array_equal(matrix, np.array([theirs[p] for p in ours["patch_id"]]).astype(bool))
    assert matrix.any()


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
def test_unreadable_labels_reject_the_patch(
    twelve: TinyArchive, patches_of: Indexer, tmp_path: Path, text: str | None, reason: str
):
    bad = twelve.splits["train"][0]
    path = twelve.s1_folder / bad / f"{bad}_labels_metadata.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    patches, out = patches_of(twelve), tmp_path / "index.parquet"
    write_index(patches, twelve.s1_folder, 0.1, out)
    index = pl.read_parquet(out)
    assert index.height == 11
    assert bad not in index["patch_id"]
    assert index["labels_19"].to_list() == [[4]] * 11
    (rejected,) = read_metadata(out)["rejected"]
    assert rejected[:2] == [bad, "train"]
    assert reason in rejected[2]
    with pytest.raises(UserError, match=r"the labels of 1 of 12 patches \(8.3%\) cannot be read, more than"):
        write_index(patches, twelve.s1_folder, 0.08, out)
