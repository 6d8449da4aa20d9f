import csv
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import explore
from earthprobe.steps.explore import class_counts, label_correlation
from earthprobe.steps.index import schema_of
from earthprobe.storage.label_matrix import label_matrix
from earthprobe.storage.parquet import with_metadata
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, needs


def write_index(path: Path, splits: list[str], labels_19: list[list[int]]) -> Path:
    """An index with these splits and labels."""
    ids = [f"p{i:06d}" for i in range(len(splits))]
    columns = {
        "patch_id": ids,
        "s2_id": ids,
        "split": splits,
        "labels_19": labels_19,
        "shard": [0] * len(splits),
        "folder_s1": ids,
        "folder_s2": ids,
    }
    metadata = {"archive": "x", "simulated": True, "classes": {"19": BigEarthNet.class_sets[19]}, "rejected": []}
    metadata |= {"tasks": {"19": "multilabel"}, "classes_left_out": {}}
    schema = with_metadata(schema_of(["19"]), metadata)
    absent = [None] * len(splits)
    pq.write_table(pa.table([pa.array(columns.get(f.name, absent), type=f.type) for f in schema], schema), path)
    return path


def run(index: Path, folder: Path, label_set: str = "19") -> None:
    explore.run(index=index, label_set=label_set, distribution=folder / "d.csv", correlation=folder / "c.csv")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_counts_of_the_official_reben_table(tmp_path: Path):
    table = pl.read_parquet(needs(SHARED / "reben-metadata/metadata.parquet"), columns=["labels", "split"])
    names = BigEarthNet.class_sets[19]
    labels = table["labels"].list.eval(pl.element().replace_strict(names, list(range(19)), return_dtype=pl.UInt8))
    splits = table["split"].replace({"validation": "val"}).to_list()
    index = write_index(tmp_path / "index.parquet", splits, labels.to_list())
    run(index, tmp_path)
    train = {row["name"]: int(row["train"]) for row in read(tmp_path / "d.csv")}
    # As published: FACTS of the reBEN paper.
    assert train["Urban fabric"] == 33_626
    assert train["Arable land"] == 88_236
    assert train["Mixed forest"] == 78_791
    assert train["Marine waters"] == 35_914
    assert train["Coastal wetlands"] == 670
    assert train["Beaches, dunes, sands"] == 738


def test_correlation_is_numpys():
    rng = np.random.default_rng(0)
    matrix = rng.random((500, 6)) < [0.5, 0.3, 0.2, 0.7, 0.0, 1.0]
    matrix[:, 2] |= matrix[:, 0]
    labels = pl.Series([np.flatnonzero(row).tolist() for row in matrix], dtype=pl.List(pl.UInt8))
    got = label_correlation(labels, 6)
    np.testing.assert_allclose(got[:4, :4], np.corrcoef(matrix[:, :4].T.astype(float)), atol=1e-9)
    assert np.isnan(got[4:]).all()
    assert np.isnan(got[:, 4:]).all()
    np.testing.assert_array_equal(class_counts(labels, 6), matrix.sum(axis=0))
    np.testing.assert_array_equal(label_matrix(labels, 6), matrix)


def test_only_train_is_correlated_and_absent_classes_are_empty(tmp_path: Path):
    splits = ["train"] * 4 + ["test"] * 2
    labels = [[0, 1], [0, 1], [2], [], [0], [1, 5]]
    run(write_index(tmp_path / "i.parquet", splits, labels), tmp_path)
    pairs = {(int(r["class"]), int(r["other"])): r["correlation"] for r in read(tmp_path / "c.csv")}
    assert len(pairs) == 19 * 19
    assert float(pairs[0, 1]) == 1
    assert pairs[0, 5] == pairs[5, 5] == ""
    rows = read(tmp_path / "d.csv")
    assert [(r["train"], r["val"], r["test"]) for r in rows[:2]] == [("2", "0", "1"), ("2", "0", "1")]
    assert rows[0]["data"] == "simulated archive x"


def test_labels_that_the_archive_lacks_are_an_error(tmp_path: Path):
    index = write_index(tmp_path / "i.parquet", ["train"], [[0]])
    with pytest.raises(UserError, match="has no label set 43"):
        run(index, tmp_path, "43")
    assert not (tmp_path / "d.csv").exists()
