"""Scores by country, tile and distance, against scikit-learn's of those patches, and the pictures of them."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.figures import distance as figure_distance
from earthprobe.figures import map as figure_map
from earthprobe.steps import by_place, distance
from earthprobe.storage.files import read_csv, write_json
from earthprobe.storage.parquet import with_metadata
from earthprobe.storage.scores import Scores, write_scores
from sklearn.metrics import average_precision_score, fbeta_score
from sklearn.metrics.pairwise import haversine_distances

SIZE = 300
CLASSES = ["a", "b", "c"]
SOURCE = {"archive": "x", "simulated": False, "weights": "random:0"}


def write_index(path: Path, folds: int = 0, placed: bool = True, tiles: bool = True) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    number = np.arange(SIZE)
    tile = number % 6
    frame = pl.DataFrame(
        {
            "patch_id": [f"p{i:03d}" for i in number],
            "split": ["train" if folds else ("train", "val", "test", "test")[i // 6 % 4] for i in number],
            "group": [f"g{i // 12}" for i in number],
            "tile": [f"t{t}" if tiles else None for t in tile],
            "column": pl.Series([0] * SIZE, dtype=pl.Int16),
            "row": pl.Series([0] * SIZE, dtype=pl.Int16),
            "country": [None if t == 5 or not placed else ("Portugal", "Spain", "Spain")[t % 3] for t in tile],
            "longitude": -8 + tile + 0.3 * rng.random(SIZE),
            "latitude": 39 + 0.3 * rng.random(SIZE),
            "cells_to_test": pl.Series(rng.random(SIZE) * 10, dtype=pl.Float32),
        },
        schema_overrides={"country": pl.String, "tile": pl.String},
    )
    if not placed:
        frame = frame.with_columns(longitude=pl.lit(None, pl.Float64), latitude=pl.lit(None, pl.Float64))
    if folds:
        chosen = rng.integers(folds, size=(SIZE, 2))
        frame = frame.with_columns(folds=pl.Series(chosen.tolist(), dtype=pl.List(pl.UInt8)))
    arrow = frame.to_arrow()
    said = {"folds": {"folds": folds, "repeats": 2} if folds else None}
    pq.write_table(arrow.cast(with_metadata(arrow.schema, said)), path)
    return frame


def write_row(folder: Path, name: str, frame: pl.DataFrame, skill: float, repeats: int = 1) -> tuple[Path, Path]:
    """Scores of val and test, or of all patches once a repeat, and what a table says of them."""
    rng = np.random.default_rng(len(name))
    test = frame if repeats > 1 else frame.filter(pl.col("split") == "test")
    val = frame.filter(pl.col("split") == ("train" if repeats > 1 else "val"))
    parts = [(test, "test", repeat) for repeat in range(repeats)] + [(val, "val", repeat) for repeat in range(repeats)]
    truth = np.random.default_rng(7).random((SIZE, len(CLASSES))) < 0.4
    rows = np.concatenate([[int(patch[1:]) for patch in part["patch_id"]] for part, *_ in parts])
    ids = [f"p{row:03d}" for row in rows]
    targets = truth[rows]
    scored = (skill * targets + (1 - skill) * rng.random(targets.shape)).astype(np.float32)
    splits = [split for part, split, _ in parts for _ in range(part.height)]
    numbers = [repeat for part, _, repeat in parts for _ in range(part.height)] if repeats > 1 else None
    stem = folder / name.replace("/", "_")
    write_scores(stem.with_suffix(".parquet"), Scores(ids, splits, scored, targets, numbers), {"classes": CLASSES})
    result = {
        "test": {"map_macro": 1 - skill},
        "val": {"map_macro": skill},
        "task": "multilabel",
        "threshold": 0.5,
        "classes": CLASSES,
    }
    control = {"control": {"says": "x", "known": True}} if name.startswith("control") else {}
    write_json(stem.with_suffix(".json"), {**result, "features": SOURCE, **control})
    return stem.with_suffix(".json"), stem.with_suffix(".parquet")


ROWS = {"f/weak": 0.2, "f/strong": 0.4, "g/only": 0.3, "control/prior": 0.0, "control/neighbours": 0.5}


def outputs(folder: Path) -> dict[str, Path]:
    return {
        "by_country": folder / "c.csv",
        "by_country_md": folder / "c.md",
        "by_tile": folder / "t.csv",
        "by_distance": folder / "d.csv",
    }


def run(folder: Path, frame: pl.DataFrame, repeats: int = 1) -> dict[str, Path]:
    index, far = folder / "index.parquet", folder / "far.parquet"
    distance.run(index=index, output=far)
    files = [write_row(folder, name, frame, skill, repeats) for name, skill in ROWS.items()]
    made = outputs(folder)
    by_place.run(
        rows=list(ROWS),
        metrics=[path for path, _ in files],
        scores=[path for _, path in files],
        distances=far,
        index=index,
        draws=100,
        **made,
    )
    return made


def km_of(train: pl.DataFrame, test: pl.DataFrame) -> np.ndarray:
    places = [np.radians(part.select("latitude", "longitude").to_numpy()) for part in (test, train)]
    return 6371 * haversine_distances(*places).min(axis=1)


@pytest.mark.parametrize("buffer", [0, 4])
def test_distances_are_scikit_learns(tmp_path: Path, buffer: float):
    frame = write_index(tmp_path / "index.parquet")
    distance.run(index=tmp_path / "index.parquet", buffer=buffer, output=tmp_path / "far.parquet")
    found = pl.read_parquet(tmp_path / "far.parquet")
    test = frame.filter(pl.col("split") == "test")
    near = frame.filter((pl.col("split") == "train") & ((pl.col("cells_to_test") > buffer) | (buffer == 0)))
    assert found["patch_id"].to_list() == test["patch_id"].to_list()
    np.testing.assert_allclose(found["km"], km_of(near, test), rtol=1e-4)


def test_distances_of_folds_are_to_what_a_probe_is_fitted_on(tmp_path: Path):
    frame = write_index(tmp_path / "index.parquet", folds=4)
    distance.run(index=tmp_path / "index.parquet", output=tmp_path / "far.parquet")
    found = pl.read_parquet(tmp_path / "far.parquet")
    assert found.height == 2 * SIZE
    numbers = np.array(frame["folds"].to_list())
    for repeat, fold in ((0, 1), (1, 3)):
        here = frame.filter(numbers[:, repeat] == fold)
        fitted = frame.filter((numbers[:, repeat] != fold) & (numbers[:, repeat] != (fold + 1) % 4))
        km = here.join(found.filter(pl.col("repeat") == repeat), on="patch_id", maintain_order="left")["km"]
        np.testing.assert_allclose(km, km_of(fitted, here), rtol=1e-4)


def test_a_place_scores_what_its_patches_do(tmp_path: Path):
    frame = write_index(tmp_path / "index.parquet")
    made = run(tmp_path, frame)
    test = pl.read_parquet(tmp_path / "f_strong.parquet").filter(pl.col("split") == "test").join(frame, on="patch_id")
    far = pl.read_parquet(tmp_path / "far.parquet")
    test = test.join(far, on="patch_id", maintain_order="left")
    checked = 0
    for name, key in (("by_country", "country"), ("by_tile", "tile"), ("by_distance", "km_from")):
        lines = [line for line in read_csv(made[name]) if (line["features"], line["probe"]) == ("f", "strong")]
        for line in lines:
            if key == "km_from":
                here = test.filter(
                    (pl.col("km") > float(line["km_from"])) & (pl.col("km") <= float(line["km_to"] or "inf"))
                )
                assert float(line["share"]) == pytest.approx(here.height / test.height)
            else:
                here = test.filter(pl.col(key) == line[key])
            targets, scores = here["targets"].to_numpy(), here["scores"].to_numpy()
            assert (int(line["patches"]), int(line["positives"])) == (here.height, targets.sum())
            want = average_precision_score(targets, scores, average="micro")
            assert float(line["map_micro"]) == pytest.approx(want)
            want = fbeta_score(targets, scores > 0.5, beta=2, average="micro", zero_division=0)
            assert float(line["f2_micro"]) == pytest.approx(want)
            assert (line["map_micro_low"] == "") == (here.height < 20)
            checked += here.height
    # Countries leave out the tile that none is known of.
    assert checked == 3 * test.height - test.filter(pl.col("tile") == "t5").height
    tile = next(line for line in read_csv(made["by_tile"]) if line["tile"] == "t2")
    assert (tile["cluster"], tile["clusters"]) == ("patch", "24")
    assert float(tile["longitude"]) == pytest.approx(test.filter(pl.col("tile") == "t2")["longitude"].mean())


def test_the_best_probe_of_each_feature_set_is_named_and_shown(tmp_path: Path):
    made = run(tmp_path, write_index(tmp_path / "index.parquet"))
    lines = read_csv(made["by_country"])
    assert {(line["features"], line["probe"]) for line in lines if line["best"] == "1"} == {
        ("f", "strong"),
        ("g", "only"),
    }
    assert len(lines) == 2 * len(ROWS)
    text = made["by_country_md"].read_text()
    assert "f/weak" not in text
    assert text.count("| f/strong") == text.count("| control/prior ") == 2
    assert text.index("Spain") < text.index("Portugal")  # which has fewer patches


def test_folds_count_each_patch_once_a_repeat(tmp_path: Path):
    made = run(tmp_path, write_index(tmp_path / "index.parquet", folds=4), repeats=2)
    of_row = [line for line in read_csv(made["by_distance"]) if line["probe"] == "strong"]
    assert sum(int(line["patches"]) for line in of_row) == 2 * SIZE
    assert sum(float(line["share"]) for line in of_row) == pytest.approx(1)
    tiles = [line for line in read_csv(made["by_tile"]) if line["probe"] == "strong"]
    assert sum(int(line["patches"]) for line in tiles) == SIZE


def images(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.png", folder / f"{name}.pdf"]


@pytest.mark.parametrize(("placed", "tiles"), [(True, True), (False, True), (True, False)])
def test_pictures_are_drawn_whatever_an_archive_knows(tmp_path: Path, placed: bool, tiles: bool):
    frame = write_index(tmp_path / "index.parquet", placed=placed, tiles=tiles)
    made = run(tmp_path, frame)
    figure_distance.run(csv=made["by_distance"], images=images(tmp_path, "distance"))
    csv = tmp_path / "map.csv"
    figure_map.run(tiles=made["by_tile"], index=tmp_path / "index.parquet", csv=csv, images=images(tmp_path, "map"))
    assert all(path.stat().st_size > 5000 for path in images(tmp_path, "map") + images(tmp_path, "distance"))
    lines = read_csv(csv)
    assert {(line["row"], line["metric"]) for line in lines} == {("f/strong", "map_micro")}
    test = frame.filter(pl.col("split") == "test")
    assert sum(int(line["patches"]) for line in lines) == test.height
    assert {line["tile"] for line in lines} == set(test["tile" if tiles else "group"])
    if not placed:
        assert read_csv(made["by_country"]) == read_csv(made["by_distance"]) == []
        assert "does not say which countries" in made["by_country_md"].read_text()


def test_a_buffer_that_leaves_no_train_patch_is_said(tmp_path: Path):
    write_index(tmp_path / "index.parquet")
    with pytest.raises(UserError, match="no train patch is further than 99 cells from all of test: give less"):
        distance.run(index=tmp_path / "index.parquet", buffer=99, output=tmp_path / "far.parquet")


def test_a_table_without_a_tile_is_a_map_that_says_so(tmp_path: Path):
    made = run(tmp_path, write_index(tmp_path / "index.parquet"))
    heading = made["by_tile"].read_text().splitlines()[0]
    (tmp_path / "none.csv").write_text(heading + "\n")
    figure_map.run(
        tiles=tmp_path / "none.csv",
        index=tmp_path / "index.parquet",
        csv=tmp_path / "map.csv",
        images=[tmp_path / "map.png"],
    )
    assert (tmp_path / "map.png").stat().st_size > 0
    assert len((tmp_path / "map.csv").read_text().splitlines()) == 1
