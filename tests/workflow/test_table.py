"""Anybody's archive: real patches by a table, and one of one's own with one label a patch."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import rasterio

from bench.real_patches import lay_out
from tests.clone import Clone
from tests.conftest import SHARED, needs

S1 = ["VV", "VH"]
S2 = ["B02", "B03", "B04", "B05"]
PATHS = {band: f"S1/{{id}}/{{id}}_{band}.tif" for band in S1} | {band: f"S2/{{id}}/{{id}}_{band}.tif" for band in S2}


def table_of(root: Path) -> dict[str, Any]:
    return {
        "name": "real-patches",
        "kind": "table",
        "table": str(root / "patches.csv"),
        "root": str(root),
        "columns": {"group": "scene"},
        "bands": PATHS,
        "min_positives": 8,
        "split": {"by": "folds", "folds": 4, "repeats": 2},
        "shards": 2,
        "max_rejected": 0.05,
    }


@pytest.fixture(scope="module")
def real(clone: Clone) -> dict[str, Any]:
    """The real patches by their table: pixels of both sensors, and a trained model."""
    root = needs(SHARED / "real-patches")
    galileo = {
        "kind": "galileo",
        "model": "nano",
        "weights": str(needs(SHARED.parent / "models/galileo-nano/encoder.pt")),
        "precision": "float32",
    }
    config = {
        "archive": table_of(root),
        "features": {
            "galileo_s1": {**galileo, "bands": S1},
            "galileo_s2": {**galileo, "bands": ["B02", "B03", "B04"]},
            "pixels": {"kind": "statistics", "bands": [*S1, *S2]},
        },
        "probes": {"knn": {"kind": "knn"}},
    }
    clone.run(config=config)
    return config


def test_tables_have_intervals_and_say_what_was_left_out(clone: Clone, real: dict[str, Any]):
    results = clone.results("real-patches")
    with (results / "tables/classification_labels.csv").open(newline="") as stream:
        rows = {row["features"]: row for row in csv.DictReader(stream)}
    for row in rows.values():
        low, middle, high = (float(row[f"map_micro{end}"]) for end in ("_low", "", "_high"))
        assert low < middle < high
    text = (results / "tables/classification_labels.md").read_text()
    assert "13 classes" in text
    assert "Left out, since too few patches have them: Industrial or commercial units (4), Moors" in text
    assert "186 patches, each tested once in each of 2 repeats" in text
    assert "1,000 draws of the 82 scenes of the test patches and of the 2 repeats" in text
    assert "galileo_s2: galileo nano, bands B02 B03 B04" in text
    page = (results / "check.html").read_text()
    assert "Nothing is off." in page
    assert "as published" not in page


def test_the_same_patches_as_reben_give_the_same_vectors(clone: Clone, real: dict[str, Any]):
    root = clone.folder / "as-reben"
    assert lay_out(SHARED / "real-patches", root) == 186
    archive = {"name": "as-reben", "kind": "reben", "root": str(root), "shards": 3, "max_rejected": 0.05}
    features = {name: real["features"][name] for name in ("galileo_s1", "galileo_s2")}
    clone.run("features", config={**real, "archive": archive, "features": features})
    for name in features:
        ours, theirs = (
            pl.read_parquet(clone.results(archive) / f"features/{name}.parquet")
            for archive in ("real-patches", "as-reben")
        )
        assert ours["patch_id"].to_list() == theirs["patch_id"].to_list()
        np.testing.assert_allclose(ours["embedding"].to_numpy(), theirs["embedding"].to_numpy(), atol=1e-6)


def test_what_concerns_labels_embeds_nothing_again(clone: Clone, real: dict[str, Any]):
    assert clone.planned(config=real) == {}
    again = {**real, "archive": {**real["archive"], "min_positives": 12}}
    planned = clone.planned(config=again)
    assert {"index", "train", "evaluate", "table"} <= planned.keys()
    assert not {"index_table", "shard", "embed", "merge"} & planned.keys()
    again = {**real, "archive": {**real["archive"], "split": {"by": "folds", "folds": 4, "repeats": 3}}}
    assert "index_table" in clone.planned(config=again)


@pytest.fixture(scope="module")
def eurosat(clone: Clone) -> Path:
    """Real pixels in EuroSAT's layout: a folder a class, and 13 bands a file, of which B10 is made up."""
    source, root = needs(SHARED / "real-patches/S2"), clone.folder / "EuroSAT_MS"
    order = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"]
    lines = ["id,labels,split,path"]
    rng = np.random.default_rng(0)
    for number, folder in enumerate(sorted(source.iterdir())):
        name = folder.name
        label = ["AnnualCrop", "Forest", "River"][number % 3]
        planes = []
        for band in order:
            if band == "B10":
                planes.append(rng.integers(1, 20, (64, 64)).astype(np.uint16))
                continue
            with rasterio.open(folder / f"{name}_{band}.tif") as image:
                pixels = image.read(1)
            steps = np.arange(64) * len(pixels) // 120
            planes.append(np.maximum(pixels[np.ix_(steps, steps)], 1))
        path = root / label / f"{label}_{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path, "w", driver="GTiff", count=13, height=64, width=64, dtype="uint16") as image:
            image.write(np.stack(planes))
        split = ["train", "train", "val", "test"][number // 3 % 4]
        lines.append(f"{label}_{number},{label},{split},{label}/{label}_{number}.tif")
    (root / "table.csv").write_text("\n".join(lines))
    return root


def test_one_label_a_patch_and_thirteen_bands_a_file(clone: Clone, eurosat: Path):
    order = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A"]
    bands = {band: {"path": "{path}", "band": number} for number, band in enumerate(order, start=1)}
    config = {
        "archive": {
            "name": "eurosat",
            "kind": "table",
            "table": str(eurosat / "table.csv"),
            "root": str(eurosat),
            "bands": bands,
            "task": "single",
            "shards": 2,
        },
        "features": {
            "pixels": {"kind": "statistics", "bands": order, "protocol": "torchgeo-bench"},
            "rcf": {"kind": "rcf", "bands": ["B04", "B03", "B02"]},
        },
        "probes": {"knn": {"kind": "knn"}, "linear": {"kind": "linear"}, "forest": {"kind": "random_forest"}},
    }
    clone.run(config=config)
    results = clone.results("eurosat")
    with (results / "tables/classification_labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[2:7] == ["accuracy", "balanced_accuracy", "f1_macro", "kappa", "top5_accuracy"]
    ours = [row for row in rows if row["source"] == "this run" and row["features"] != "control"]
    assert len(ours) == 6
    assert all(float(row["top5_accuracy"]) == 1 for row in ours)  # there are three classes
    published = {(row["features"], row["accuracy"]) for row in rows if row["source"] != "this run"}
    assert ("image statistics", "0.7315") in published
    confusion = pl.read_csv(results / "figures/confusion_pixels_labels_knn.csv")
    assert confusion.height == 9
    index = pl.read_parquet(results / "index.parquet")
    assert confusion["patches"].sum() == index.filter(pl.col("split") == "test").height
    assert (results / "figures/confusion_pixels_labels_knn.png").read_bytes().startswith(b"\x89PNG")
    shard = pl.read_parquet(next(iter(sorted((results / "shards/s2").glob("*.parquet")))))
    row = shard.row(0, named=True)
    path = index.filter(pl.col("patch_id") == row["patch_id"])["path"][0]
    with rasterio.open(eurosat / path) as image:
        for number, band in enumerate(order, start=1):
            np.testing.assert_array_equal(row[band], image.read(number).ravel())
