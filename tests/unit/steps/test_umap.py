from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import umap
from earthprobe.steps.umap import LEAST, stratified
from earthprobe.storage.parquet import read_metadata, with_metadata

from tests.unit.steps.test_explore import write_index


def test_the_sample_keeps_rare_classes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("earthprobe.steps.umap.FEWEST", 10)
    labels = pl.Series([[0]] * 900 + [[0, 1]] * 80 + [[2]] * 15 + [[0, 3]] * 4 + [[]], dtype=pl.List(pl.UInt8))
    rows = stratified(labels, 100, np.random.default_rng(0))
    assert len(rows) == len(set(rows)) == 100
    assert rows == sorted(rows)
    counts = pl.Series(labels[rows].explode()).value_counts()
    found = dict(counts.iter_rows())
    assert found[3] == 4
    assert found[2] >= 10
    assert found[1] >= 10
    assert found[0] > 50
    assert stratified(labels, 5000, np.random.default_rng(0)) == list(range(1000))


SETTINGS = {"sample": 150, "neighbors": 10, "min_distance": 0.1, "seed": 0, "threads": 1}


def write_features(folder: Path, ids: list[str], vectors: np.ndarray) -> Path:
    schema = pa.schema([("patch_id", pa.string()), ("embedding", pa.list_(pa.float32(), 16))])
    schema = with_metadata(schema, {"archive": "x", "simulated": True, "weights": "random:0"})
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 16)
    pq.write_table(pa.table([pa.array(ids), column], schema=schema), folder / "features.parquet")
    return folder / "features.parquet"


@pytest.mark.parametrize("train", [3, 4])
def test_hardly_any_patches_are_laid_out_or_said(tmp_path: Path, train: int):
    index = write_index(tmp_path / "index.parquet", ["train"] * train + ["test"] * 3, [[0]] * (train + 3))
    ids = pl.read_parquet(index)["patch_id"].to_list()
    features = write_features(tmp_path, ids, np.random.default_rng(0).normal(size=(train + 3, 16)))
    output = tmp_path / "umap.parquet"
    if train < LEAST:
        with pytest.raises(
            UserError, match="features.parquet has 3 train patches, too few to lay out: at least 4 are needed$"
        ):
            umap.run(features=features, index=index, **SETTINGS, output=output)
    else:
        umap.run(features=features, index=index, **SETTINGS, output=output)
        assert np.isfinite(pl.read_parquet(output).select("x", "y").to_numpy()).all()


def test_coordinates_are_of_train_seeded_and_find_clusters(tmp_path: Path):
    rng = np.random.default_rng(0)
    group = np.arange(300) % 2
    vectors = rng.normal(8 * group[:, None], 1, (300, 16))
    splits = ["train" if i % 3 else "test" for i in range(300)]
    index = write_index(tmp_path / "index.parquet", splits, [[int(g)] for g in group])
    ids = pl.read_parquet(index)["patch_id"].to_list()
    features = write_features(tmp_path, ids, vectors)

    def run(name: str) -> pl.DataFrame:
        umap.run(features=features, index=index, **SETTINGS, output=tmp_path / name)
        return pl.read_parquet(tmp_path / name)

    table = run("a.parquet")
    assert table.height == 150
    assert table["patch_id"].is_sorted()
    train = {i for i, s in zip(ids, splits, strict=True) if s == "train"}
    assert set(table["patch_id"]) <= train
    assert run("b.parquet").equals(table)
    points = table.select("x", "y").to_numpy()
    mine = group[[ids.index(p) for p in table["patch_id"]]]
    centres = [points[mine == g].mean(axis=0) for g in (0, 1)]
    spread = max(points[mine == g].std() for g in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
    metadata = read_metadata(tmp_path / "a.parquet")
    assert metadata["train_patches"] == 200
    assert metadata["weights"] == "random weights (seed 0)"
