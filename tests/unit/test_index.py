from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.files import read_metadata
from earthprobe.index import SCHEMA, write_index
from earthprobe.index_patches import index_patches, read_tables
from earthprobe.label_matrix import label_matrix
from earthprobe.layout import METADATA, SPLITS
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, Indexer, TinyArchive, index_real, needs


@pytest.fixture(scope="module")
def real_index(tmp_path_factory: pytest.TempPathFactory, v1_sample: Path) -> Path:
    out = tmp_path_factory.mktemp("index")
    write_index(index_real(v1_sample, out, 3), 0, out / "index.parquet", s1=[v1_sample / "BigEarthNet-S1-v1.0"])
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
        (None, "_labels_metadata.json is missing"),
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
    write_index(patches, 0.1, out, s1=[twelve.s1_folder])
    index = pl.read_parquet(out)
    assert index.height == 11
    assert bad not in index["patch_id"]
    assert index["labels_19"].to_list() == [[4]] * 11
    (rejected,) = read_metadata(out)["rejected"]
    assert rejected[:2] == [bad, "train"]
    assert reason in rejected[2]
    with pytest.raises(UserError, match=r"the labels of 1 of 12 patches \(8.3%\) cannot be read, more than"):
        write_index(patches, 0.08, out, s1=[twelve.s1_folder])


def test_labels_of_reben_are_those_of_its_tables(tmp_path: Path):
    root = needs(SHARED / "reben-sample")
    index_patches(
        [root / "BigEarthNet-S1"],
        read_tables([root / METADATA]),
        shards=1,
        archive="x",
        simulated=False,
        output=tmp_path / "patches.parquet",
        mismatches=tmp_path / "m.csv",
    )
    write_index(tmp_path / "patches.parquet", 0, tmp_path / "index.parquet", tables=[root / METADATA])
    index = pl.read_parquet(tmp_path / "index.parquet")
    assert index["labels_43"].null_count() == index.height == 44
    torchgeos = BigEarthNet.class_sets[19]
    official = dict(pl.read_parquet(root / METADATA).select("s1_name", "labels").rows())
    for patch_id, labels in index.select("patch_id", "labels_19").rows():
        assert labels == sorted(labels)
        assert {torchgeos[label] for label in labels} == set(official[patch_id])


def test_an_odd_label_of_a_table_rejects_the_patch(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    patches = patches_of(twelve)
    names = pl.read_parquet(patches)["patch_id"].to_list()
    labels = [["Pastures"]] * 9 + [["Meadow"], [], None]
    pl.DataFrame({"s1_name": names, "labels": labels}).write_parquet(tmp_path / "metadata.parquet")
    write_index(patches, 0.5, tmp_path / "index.parquet", tables=[tmp_path / "metadata.parquet"])
    assert pl.read_parquet(tmp_path / "index.parquet")["patch_id"].to_list() == names[:9]
    assert {patch_id: reason for patch_id, _, reason in read_metadata(tmp_path / "index.parquet")["rejected"]} == {
        names[9]: "unknown class 'Meadow'",
        names[10]: "no label in the table",
        names[11]: "no label in the table",
    }
