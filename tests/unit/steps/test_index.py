from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from earthprobe.archives import bigearthnet_v1_labels, reben_labels
from earthprobe.archives.interface import SPLITS
from earthprobe.errors import UserError
from earthprobe.steps import index, index_patches
from earthprobe.storage.label_matrix import label_matrix
from earthprobe.storage.parquet import read_metadata
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, Indexer, TinyArchive, index_real, needs


@pytest.fixture(scope="module")
def real_index(tmp_path_factory: pytest.TempPathFactory, v1_sample: Path) -> Path:
    out = tmp_path_factory.mktemp("index")
    labels = [v1_sample / "BigEarthNet-S1-v1.0"]
    index.run(
        kind="bigearthnet-v1",
        patches=index_real(v1_sample, out, 3),
        labels=labels,
        max_rejected=0,
        output=out / "index.parquet",
    )
    return out / "index.parquet"


def test_contract(real_index: Path):
    assert pq.read_schema(real_index).names == index.schema_of(bigearthnet_v1_labels.LABEL_SETS).names
    table = pl.read_parquet(real_index)
    assert dict(table["split"].value_counts().iter_rows()) == {"train": 69, "val": 25, "test": 35}
    assert table["patch_id"].is_sorted()
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
        ("{", "labels file is not valid JSON"),
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
    patches, labels, out = patches_of(twelve), [twelve.s1_folder], tmp_path / "index.parquet"
    index.run(kind="bigearthnet-v1", patches=patches, labels=labels, max_rejected=0.1, output=out)
    table = pl.read_parquet(out)
    assert table.height == 11
    assert bad not in table["patch_id"]
    assert table["labels_19"].to_list() == [[4]] * 11
    (rejected,) = read_metadata(out)["rejected"]
    assert rejected[:2] == [bad, "train"]
    assert reason in rejected[2]
    with pytest.raises(UserError, match=r"the labels of 1 of 12 patches \(8.3%\) cannot be read, more than"):
        index.run(kind="bigearthnet-v1", patches=patches, labels=labels, max_rejected=0.08, output=out)


def test_labels_of_reben_are_those_of_its_tables(tmp_path: Path):
    root = needs(SHARED / "reben-sample")
    metadata, patches, out = root / "metadata.parquet", tmp_path / "patches.parquet", tmp_path / "index.parquet"
    index_patches.run(
        kind="reben",
        files=[root / "BigEarthNet-S1"],
        lists=[metadata],
        shards=1,
        archive="x",
        output=patches,
        mismatches=tmp_path / "m.csv",
    )
    index.run(kind="reben", patches=patches, labels=[metadata], max_rejected=0, output=out)
    table = pl.read_parquet(out)
    assert table.height == 44
    assert table.columns == index.schema_of(reben_labels.LABEL_SETS).names
    assert "labels_43" not in table.columns
    torchgeos = BigEarthNet.class_sets[19]
    assert read_metadata(out)["classes"] == {"19": torchgeos}
    official = dict(pl.read_parquet(metadata).select("s1_name", "labels").rows())
    for patch_id, labels in table.select("patch_id", "labels_19").rows():
        assert labels == sorted(labels)
        assert {torchgeos[label] for label in labels} == set(official[patch_id])


def test_an_odd_label_of_a_table_rejects_the_patch(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    patches = patches_of(twelve)
    names = pl.read_parquet(patches)["patch_id"].to_list()
    labels = [["Pastures"]] * 9 + [["Meadow"], [], None]
    pl.DataFrame({"s1_name": names, "labels": labels}).write_parquet(tmp_path / "metadata.parquet")
    out = tmp_path / "index.parquet"
    index.run(kind="reben", patches=patches, labels=[tmp_path / "metadata.parquet"], max_rejected=0.5, output=out)
    assert pl.read_parquet(out)["patch_id"].to_list() == names[:9]
    assert {patch_id: reason for patch_id, _, reason in read_metadata(out)["rejected"]} == {
        names[9]: "unknown class 'Meadow'",
        names[10]: "no label in the table",
        names[11]: "no label in the table",
    }
