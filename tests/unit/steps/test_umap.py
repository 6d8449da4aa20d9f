from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import umap
from earthprobe.steps.umap import LEAST, alike
from earthprobe.storage.parquet import read_metadata, with_metadata
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

SETTINGS = {"neighbors": 10, "min_distance": 0.1, "seed": 0, "threads": 1}


def write_features(folder: Path, ids: list[str], vectors: np.ndarray) -> Path:
    schema = pa.schema([("patch_id", pa.string()), ("embedding", pa.list_(pa.float32(), 16))])
    schema = with_metadata(schema, {"archive": "x", "simulated": True, "weights": "random:0"})
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 16)
    pq.write_table(pa.table([pa.array(ids), column], schema=schema), folder / "features.parquet")
    return folder / "features.parquet"


def write_sample(folder: Path, ids: list[str]) -> Path:
    pq.write_table(pa.table({"patch_id": ids}), folder / "sample.parquet")
    return folder / "sample.parquet"


@pytest.mark.parametrize("patches", [3, 4])
def test_hardly_any_patches_are_laid_out_or_said(tmp_path: Path, patches: int):
    ids = [f"p{i}" for i in range(9)]
    features = write_features(tmp_path, ids, np.random.default_rng(0).normal(size=(9, 16)))
    sample = write_sample(tmp_path, [*ids[:patches], "z"])
    output = tmp_path / "umap.parquet"
    if patches < LEAST:
        with pytest.raises(
            UserError,
            match="features.parquet has 3 patches of .*sample.parquet, too few to lay out: at least 4 are needed$",
        ):
            umap.run(features=features, sample=sample, **SETTINGS, output=output)
    else:
        umap.run(features=features, sample=sample, **SETTINGS, output=output)
        assert np.isfinite(pl.read_parquet(output).select("x", "y").to_numpy()).all()


def test_coordinates_are_of_the_sample_seeded_and_find_clusters(tmp_path: Path):
    rng = np.random.default_rng(0)
    group = np.arange(300) % 2
    vectors = rng.normal(8 * group[:, None], 1, (300, 16))
    ids = [f"p{i:03d}" for i in range(300)]
    features = write_features(tmp_path, ids, vectors)
    sample = write_sample(tmp_path, ids[::2] + ids[1:100:2])

    def run(name: str) -> pl.DataFrame:
        umap.run(features=features, sample=sample, **SETTINGS, output=tmp_path / name)
        return pl.read_parquet(tmp_path / name)

    table = run("a.parquet")
    assert table["patch_id"].to_list() == sorted(ids[::2] + ids[1:100:2])
    assert run("b.parquet").equals(table)
    points = table.select("x", "y").to_numpy()
    mine = group[[ids.index(p) for p in table["patch_id"]]]
    centres = [points[mine == g].mean(axis=0) for g in (0, 1)]
    spread = max(points[mine == g].std(axis=0).max() for g in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
    near = table["nearest"].to_numpy()
    assert (mine[near] == mine[:, None]).mean() > 0.99
    metadata = read_metadata(tmp_path / "a.parquet")
    assert metadata["patches"] == 300
    assert metadata["weights"] == "random weights (seed 0)"


def test_a_layout_keeps_as_much_as_that_of_umap_learn_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Trustworthiness is scikit-learn's; umap-learn alone searches by a way of its own."""
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(9, 16))[rng.integers(9, size=400)] * 3 + rng.normal(size=(400, 16))
    ids = [f"p{i:03d}" for i in range(400)]
    features, sample = write_features(tmp_path, ids, vectors), write_sample(tmp_path, ids)
    kept = []
    for most in (400, 399):
        monkeypatch.setattr("earthprobe.steps.umap.MOST", most)
        umap.run(features=features, sample=sample, **SETTINGS, output=tmp_path / "umap.parquet")
        layout = pl.read_parquet(tmp_path / "umap.parquet").select("x", "y").to_numpy()
        kept.append(trustworthiness(umap.standardised(vectors.astype(np.float32)), layout, n_neighbors=10))
    assert kept[0] > max(0.8, kept[1] - 0.02)


def test_neighbours_and_distances_are_scikit_learns():
    vectors = np.random.default_rng(1).normal(size=(90, 12)).astype(np.float32)
    rows, distances, _ = umap.near(vectors, 7)
    want, found = NearestNeighbors(n_neighbors=7).fit(vectors).kneighbors(vectors)
    np.testing.assert_array_equal(rows, found)
    np.testing.assert_allclose(distances, want, rtol=1e-6)


def test_the_nearest_are_scikit_learns():
    vectors = np.random.default_rng(0).normal(size=(80, 12)).astype(np.float32)
    vectors[5] = 0
    rows, cosines = alike(vectors, 6)
    kept = np.delete(np.arange(80), 5)
    distances, found = NearestNeighbors(n_neighbors=7, metric="cosine").fit(vectors).kneighbors(vectors[kept])
    assert np.array_equal(rows[kept], found[:, 1:])
    np.testing.assert_allclose(cosines[kept], 1 - distances[:, 1:], atol=1e-5)
    assert not (rows == np.arange(80)[:, None]).any()


def test_of_equal_patches_none_is_its_own_neighbour():
    vectors = np.ones((40, 12), np.float32)
    rows, cosines = alike(vectors, 6)
    assert not (rows == np.arange(40)[:, None]).any()
    assert all(len(set(row)) == 6 for row in rows.tolist())
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
