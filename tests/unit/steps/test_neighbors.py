"""Nearest train patches by scikit-learn, and retrieval by a loop over them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import neighbors, retrieval
from earthprobe.storage.files import read_csv
from earthprobe.storage.parquet import read_metadata, with_metadata
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from tests.unit.evaluation.test_retrieval import by_hand

SIZE, DIMENSIONS = 300, 12
CLASSES = ["a", "b", "c", "d"]


def write_archive(folder: Path, folds: dict[str, int] | None = None, labelled: float = 0.35) -> tuple[Path, Path]:
    """Vectors of all but every tenth patch of an index; they tell something of the classes."""
    rng = np.random.default_rng(0)
    targets = rng.random((SIZE, len(CLASSES))) < labelled
    ids = [f"p{number:03d}" for number in range(SIZE)]
    frame = pl.DataFrame(
        {
            "patch_id": ids,
            "split": ["train" if folds else ("train", "train", "val", "test")[i % 4] for i in range(SIZE)],
            "group": [f"g{i // 10}" for i in range(SIZE)],
            "tile": [f"t{i % 25:02d}" for i in range(SIZE)],
            "column": pl.Series([0] * SIZE, dtype=pl.Int16),
            "row": pl.Series([0] * SIZE, dtype=pl.Int16),
            "cells_to_test": pl.Series([float(i % 7) for i in range(SIZE)], dtype=pl.Float32),
            "labels_own": pl.Series([np.flatnonzero(row).tolist() for row in targets], dtype=pl.List(pl.UInt8)),
        }
    )
    if folds:
        drawn = rng.integers(folds["folds"], size=(SIZE, folds["repeats"]))
        frame = frame.with_columns(folds=pl.Series(drawn.tolist(), dtype=pl.List(pl.UInt8)))
    said: dict[str, Any] = {"classes": {"own": CLASSES}, "rejected": [], "folds": folds, "simulated": False}
    arrow = frame.to_arrow()
    pq.write_table(arrow.cast(with_metadata(arrow.schema, said)), folder / "index.parquet")
    kept = np.flatnonzero(np.arange(SIZE) % 10)
    vectors = rng.normal(size=(SIZE, DIMENSIONS)) * np.linspace(1, 50, DIMENSIONS) + 7
    vectors[:, : len(CLASSES)] += 2 * targets
    schema = pa.schema([("patch_id", pa.string()), ("embedding", pa.list_(pa.float32(), DIMENSIONS))])
    schema = with_metadata(schema, {"archive": "x", "simulated": False, "weights": "random:0"})
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors[kept].astype(np.float32).ravel()), DIMENSIONS)
    pq.write_table(pa.table([pa.array([ids[i] for i in kept]), column], schema=schema), folder / "features.parquet")
    return folder / "features.parquet", folder / "index.parquet"


def joined(features: Path, index: Path) -> pl.DataFrame:
    return pl.read_parquet(features).join(pl.read_parquet(index), on="patch_id", how="left", maintain_order="left")


def theirs(train: pl.DataFrame, test: pl.DataFrame, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and rows of scikit-learn."""
    vectors = [part["embedding"].to_numpy().astype(np.float64) for part in (train, test)]
    scaler = StandardScaler().fit(vectors[0])
    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(scaler.transform(vectors[0]))
    distance, rows = search.kneighbors(scaler.transform(vectors[1]))
    return 1 - distance, rows


@pytest.mark.parametrize("buffer", [0, 2])
def test_neighbors_are_scikit_learns(tmp_path: Path, buffer: float):
    features, index = write_archive(tmp_path)
    output = tmp_path / "neighbors.parquet"
    neighbors.run(features=features, index=index, buffer=buffer, output=output)
    rows = joined(features, index)
    train = rows.filter((pl.col("split") == "train") & ((pl.col("cells_to_test") > buffer) | (not buffer)))
    test = rows.filter(pl.col("split") == "test")
    found = pl.read_parquet(output)
    assert found["patch_id"].to_list() == test["patch_id"].to_list()
    assert found["repeat"].unique().to_list() == [0]
    near, places = theirs(train, test, min(100, train.height))
    names = np.array(rows["patch_id"])[found["neighbors"].to_numpy()]
    np.testing.assert_array_equal(names, np.array(train["patch_id"])[places])
    np.testing.assert_allclose(found["similarity"].to_numpy(), near, atol=1e-5)
    assert read_metadata(output)["features"]["weights"] == "random:0"


def test_neighbors_of_folds_are_among_those_that_a_probe_is_fitted_on(tmp_path: Path):
    features, index = write_archive(tmp_path, folds={"folds": 4, "repeats": 2})
    output = tmp_path / "neighbors.parquet"
    neighbors.run(features=features, index=index, output=output)
    rows, found = joined(features, index), pl.read_parquet(output)
    assert found.height == 2 * rows.height
    folds = np.array(rows["folds"].to_list())
    ids = rows["patch_id"].to_list()
    for patch_id, repeat, near, _ in found.iter_rows():
        own = folds[ids.index(patch_id), repeat]
        assert not set(folds[near, repeat]) & {own, (own + 1) % 4}


def test_retrieval_is_the_mean_of_a_loop(tmp_path: Path):
    features, index = write_archive(tmp_path)
    near, outputs = tmp_path / "near.parquet", {name: tmp_path / f"table.{name}" for name in ("csv", "md", "html")}
    neighbors.run(features=features, index=index, output=near)
    retrieval.run(
        neighbors=[near], features=[features], names=["f"], index=index, label_set="own", draws=200, **outputs
    )
    rows = joined(features, index)
    targets = np.zeros((rows.height, len(CLASSES)), bool)
    for number, labels in enumerate(rows["labels_own"]):
        targets[number, labels.to_list()] = True
    train, test = (np.flatnonzero(rows["split"] == split) for split in ("train", "test"))
    _, places = theirs(rows[train], rows[test], 100)
    labelled = targets[test].any(axis=1)
    row, by_chance = read_csv(outputs["csv"])
    assert int(row["queries"]) == labelled.sum()
    assert int(row["queries_without_label"]) == (~labelled).sum() > 0
    assert (int(row["database"]), int(row["neighbors"]), row["cluster"]) == (len(train), 100, "tile")
    for depth in (10, 100):
        each = [
            by_hand(targets[query], targets[train], order, depth)
            for query, order, asks in zip(test, places, labelled, strict=True)
            if asks
        ]
        for name in each[0]:
            value, low, high = (float(row[f"{name}_{depth}{end}"]) for end in ("", "_low", "_high"))
            assert value == pytest.approx(np.mean([one[name] for one in each]), abs=1e-6)
            assert low < value < high
            less = value - float(by_chance[f"{name}_{depth}"])
            assert float(row[f"{name}_{depth}_less_chance"]) == pytest.approx(less)
    # The vectors tell of the classes, which an order by chance does not.
    assert float(row["map_jaccard_10_less_chance_low"]) > 0
    text = outputs["md"].read_text()
    assert "are left out: nothing is relevant to them" in text
    assert text.count("| f ") == 2
    assert "<h2>More than chance</h2>" in outputs["html"].read_text()


def test_retrieval_of_folds_counts_every_patch_once_a_repeat(tmp_path: Path):
    features, index = write_archive(tmp_path, folds={"folds": 3, "repeats": 3})
    near, outputs = tmp_path / "near.parquet", {name: tmp_path / f"table.{name}" for name in ("csv", "md", "html")}
    neighbors.run(features=features, index=index, output=near)
    retrieval.run(
        neighbors=[near], features=[features], names=["f"], index=index, label_set="own", draws=200, **outputs
    )
    row = read_csv(outputs["csv"])[0]
    assert int(row["queries"]) + int(row["queries_without_label"]) == joined(features, index).height
    assert "of the 3 repeats" in outputs["md"].read_text()
    assert (
        f"Fewer than 100 train patches, where depths beyond them stop: f {row['neighbors']}."
        in outputs["md"].read_text()
    )


def test_neighbors_of_other_patches_and_queries_without_labels_are_refused(tmp_path: Path):
    features, index = write_archive(tmp_path)
    near, outputs = tmp_path / "near.parquet", {name: tmp_path / f"table.{name}" for name in ("csv", "md", "html")}
    neighbors.run(features=features, index=index, output=near)
    asked = {"neighbors": [near], "features": [features], "names": ["f"], "index": index, "label_set": "own"}
    table = pq.read_table(near)
    pq.write_table(table.slice(1), near)
    with pytest.raises(UserError, match=r"near.parquet has other test patches than .*features.parquet: delete it"):
        retrieval.run(**asked, **outputs)
    (tmp_path / "none").mkdir()
    asked["features"], asked["index"] = [(path := write_archive(tmp_path / "none", labelled=0))[0]], path[1]
    neighbors.run(features=path[0], index=path[1], output=near)
    with pytest.raises(UserError, match="no test patch of .* has a label of own: nothing can be retrieved"):
        retrieval.run(**asked, **outputs)


def test_a_feature_set_without_test_patches_is_refused(tmp_path: Path):
    features, index = write_archive(tmp_path)
    known = pl.read_parquet(index).filter(pl.col("split") == "test")["patch_id"]
    table = pq.read_table(features)
    keep = ~pl.Series(table["patch_id"].to_pylist()).is_in(known.implode())
    pq.write_table(table.filter(pa.array(keep)), features)
    with pytest.raises(UserError, match="test"):
        neighbors.run(features=features, index=index, output=tmp_path / "n.parquet")
    assert not (tmp_path / "n.parquet").exists()
