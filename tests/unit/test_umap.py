from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.files import read_metadata, with_metadata
from earthprobe.umap import stratified, write_coordinates

from tests.unit.test_explore import write_index


def test_the_sample_keeps_rare_classes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("earthprobe.umap.FEWEST", 10)
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


def test_coordinates_are_of_train_seeded_and_find_clusters(tmp_path: Path):
    rng = np.random.default_rng(0)
    group = np.arange(300) % 2
    vectors = rng.normal(8 * group[:, None], 1, (300, 16)).astype(np.float32)
    splits = ["train" if i % 3 else "test" for i in range(300)]
    index = write_index(tmp_path / "index.parquet", splits, [[int(g)] for g in group])
    ids = pl.read_parquet(index)["patch_id"].to_list()
    schema = pa.schema([("patch_id", pa.string()), ("embedding", pa.list_(pa.float32(), 16))])
    schema = with_metadata(schema, {"archive": "x", "simulated": True, "weights": "random:0"})
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 16)
    pq.write_table(pa.table([pa.array(ids), column], schema=schema), tmp_path / "features.parquet")

    def run(name: str) -> pl.DataFrame:
        settings = {"sample": 150, "neighbors": 10, "min_distance": 0.1, "seed": 0, "threads": 1}
        write_coordinates(tmp_path / "features.parquet", index, **settings, output=tmp_path / name)
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
