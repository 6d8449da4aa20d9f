"""Smaller vectors against scikit-learn's PCA, and against what they were."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import compress
from earthprobe.storage.embeddings import read_embeddings
from earthprobe.storage.parquet import embedding_schema, read_metadata, with_metadata
from sklearn.decomposition import PCA

ROWS = 60


@pytest.fixture
def whole(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors far from zero, of which two thirds are train's."""
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(ROWS, 8)) @ rng.normal(size=(8, 8)) + 1000).astype(np.float32)
    train = np.arange(ROWS) % 3 > 0
    ids = [f"p{i:02d}" for i in range(ROWS)]
    schema = with_metadata(embedding_schema(8), {"archive": "x", "weights": "random:0"})
    column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), type=schema.field("embedding").type)
    pq.write_table(pa.table([pa.array(ids), column], schema=schema), tmp_path / "whole.parquet")
    splits = ["train" if t else "test" for t in train]
    pl.DataFrame({"patch_id": ids, "split": splits}).write_parquet(tmp_path / "patches.parquet")
    return matrix, train


def run(folder: Path, **options: Any) -> np.ndarray:
    compress.run(
        features=folder / "whole.parquet", patches=folder / "patches.parquet", output=folder / "f.parquet", **options
    )
    return read_embeddings(folder / "f.parquet", [np.arange(ROWS)])[0]


def test_components_are_scikit_learns_on_train(
    whole: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    matrix, train = whole
    monkeypatch.setattr(compress, "ROW_GROUP", 7)
    got = run(tmp_path, pca=3)
    theirs = PCA(3, svd_solver="full").fit(matrix[train].astype(np.float64))
    want = theirs.transform(matrix.astype(np.float64))
    signs = np.sign((got * want).sum(axis=0))
    np.testing.assert_allclose(got * signs, want, atol=1e-3)
    found = read_metadata(tmp_path / "f.parquet")
    assert found["pca"]["components"] == 3
    assert found["pca"]["explained"] == pytest.approx(theirs.explained_variance_ratio_.sum(), abs=1e-6)
    assert (found["archive"], found["weights"], found["store"]) == ("x", "random:0", "float32")


@pytest.mark.parametrize(("store", "kind", "error"), [("float16", "halffloat", 1.0), ("int8", "uint8", 0.06)])
def test_fewer_bytes_lose_little(
    whole: tuple[np.ndarray, np.ndarray], tmp_path: Path, store: Any, kind: str, error: float
):
    matrix, train = whole
    got = run(tmp_path, store=store)
    column = pq.read_schema(tmp_path / "f.parquet").field("embedding").type
    assert str(column) == f"fixed_size_list<element: {kind} not null>[8]"
    assert np.abs(got - matrix)[train].max() < error
    assert got.dtype == np.float32
    assert pl.read_parquet(tmp_path / "f.parquet").height == ROWS


def test_values_beyond_trains_are_set_to_the_ends_of_its_range(whole: tuple[np.ndarray, np.ndarray], tmp_path: Path):
    matrix, train = whole
    got = run(tmp_path, store="int8")
    step = (matrix[train].max(0) - matrix[train].min(0)) / compress.STEPS
    assert (got <= matrix[train].max(0) + step).all()
    assert (got >= matrix[train].min(0) - step).all()


def test_more_components_than_there_can_be_are_refused(whole: tuple[np.ndarray, np.ndarray], tmp_path: Path):
    with pytest.raises(UserError, match="vectors of 8 figures for 40 train patches: set pca to 8 at the most"):
        run(tmp_path, pca=9)
    assert not (tmp_path / "f.parquet").exists()


def test_a_byte_a_figure_takes_a_byte_on_the_disk(tmp_path: Path):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(4000, 64)).astype(np.float32)
    ids = [f"p{i:04d}" for i in range(4000)]
    schema = with_metadata(embedding_schema(64), {})
    column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), type=schema.field("embedding").type)
    pq.write_table(pa.table([pa.array(ids), column], schema=schema), tmp_path / "whole.parquet", compression="none")
    pl.DataFrame({"patch_id": ids, "split": ["train"] * 4000}).write_parquet(tmp_path / "patches.parquet")
    sizes = {}
    for store in ("float32", "float16", "int8"):
        compress.run(
            features=tmp_path / "whole.parquet",
            patches=tmp_path / "patches.parquet",
            store=store,  # type: ignore[arg-type]
            output=tmp_path / f"{store}.parquet",
        )
        sizes[store] = (tmp_path / f"{store}.parquet").stat().st_size
    assert sizes["float16"] < 0.6 * sizes["float32"]
    assert sizes["int8"] < 0.3 * sizes["float32"]


def test_figures_that_half_precision_cannot_hold_are_refused(whole: tuple[np.ndarray, np.ndarray], tmp_path: Path):
    table = pq.read_table(tmp_path / "whole.parquet")
    large = np.full((ROWS, 8), 70_000, np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(large.ravel()), type=table.schema.field("embedding").type)
    pq.write_table(table.set_column(1, table.schema.field("embedding"), column), tmp_path / "whole.parquet")
    with pytest.raises(UserError, match="float16 holds no figure above 65,504"):
        run(tmp_path, store="float16")
