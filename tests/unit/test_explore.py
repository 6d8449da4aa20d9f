import csv
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.explore import class_counts, explore, label_correlation
from earthprobe.files import with_metadata
from earthprobe.index import SCHEMA
from earthprobe.label_matrix import label_matrix
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, needs


def write_index(path: Path, splits: list[str], labels_19: list[list[int]], labels_43: list | None = None) -> Path:
    """An index with these splits and labels."""
    ids = [f"p{i:06d}" for i in range(len(splits))]
    empty = [None] * len(splits)
    columns = [ids, ids, splits, labels_43 or empty, labels_19, empty, [0] * len(splits), ids]
    metadata = {
        "archive": "x",
        "simulated": True,
        "classes": {str(n): BigEarthNet.class_sets[n] for n in (19, 43)},
        "rejected": [],
    }
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, SCHEMA, strict=True)]
    pq.write_table(pa.table(arrays, with_metadata(SCHEMA, metadata)), path)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_counts_of_the_official_reben_table(tmp_path: Path):
    table = pl.read_parquet(needs(SHARED / "reben-metadata/metadata.parquet"), columns=["labels", "split"])
    names = BigEarthNet.class_sets[19]
    labels = table["labels"].list.eval(pl.element().replace_strict(names, list(range(19)), return_dtype=pl.UInt8))
    splits = table["split"].replace({"validation": "val"}).to_list()
    index = write_index(tmp_path / "index.parquet", splits, labels.to_list())
    explore(index, 19, tmp_path / "d.csv", tmp_path / "c.csv")
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
    explore(write_index(tmp_path / "i.parquet", splits, labels), 19, tmp_path / "d.csv", tmp_path / "c.csv")
    pairs = {(int(r["class"]), int(r["other"])): r["correlation"] for r in read(tmp_path / "c.csv")}
    assert len(pairs) == 19 * 19
    assert float(pairs[0, 1]) == 1
    assert pairs[0, 5] == pairs[5, 5] == ""
    rows = read(tmp_path / "d.csv")
    assert [(r["train"], r["val"], r["test"]) for r in rows[:2]] == [("2", "0", "1"), ("2", "0", "1")]
    assert rows[0]["data"] == "simulated archive x"


def test_labels_that_the_archive_lacks_are_an_error(tmp_path: Path):
    index = write_index(tmp_path / "i.parquet", ["train"], [[0]])
    with pytest.raises(UserError, match="has no 43-class labels"):
        explore(index, 43, tmp_path / "d.csv", tmp_path / "c.csv")
