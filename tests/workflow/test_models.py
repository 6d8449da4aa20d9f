"""A study of real patches with a trained model, its controls, and vectors from elsewhere."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from earthprobe.storage.parquet import read_metadata

from bench.real_patches import lay_out
from tests.clone import Clone
from tests.conftest import SHARED, needs

S1 = ["VV", "VH"]


@pytest.fixture(scope="module")
def study(clone: Clone) -> dict[str, Any]:
    """Galileo-nano of Sentinel-1 beside its random twin, the pixels and the map; then what else users bring."""
    encoder = needs(SHARED.parent / "models/galileo-nano/encoder.pt")
    root = clone.folder / "real"
    assert lay_out(needs(SHARED / "real-patches"), root) == 186
    galileo = {"kind": "galileo", "model": "nano", "bands": S1, "precision": "float32"}
    config = {
        "archive": {"name": "real", "kind": "reben", "root": str(root), "shards": 2, "max_rejected": 0.05},
        "features": {
            "galileo": {**galileo, "weights": str(encoder), "vary": {"store": ["float32", "int8"], "pca": [None, 16]}},
            "untrained": {**galileo, "weights": "random:0"},
            "pixels": {"kind": "statistics", "bands": S1},
            "place": {"kind": "location"},
        },
        "probes": {"linear": {"kind": "linear"}},
    }
    clone.run("tables", "results/real/figures/ablation_galileo_19.png", config=config)
    return config


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as stream:
        return {row["features"]: row for row in csv.DictReader(stream) if row["features"]}


def test_a_trained_model_knows_more_than_its_random_twin_and_the_pixels(clone: Clone, study: dict[str, Any]):
    table = rows(clone.results("real") / "tables/classification_19.csv")
    score = {name: float(row["map_macro"]) for name, row in table.items() if row["source"] == "this run"}
    whole = "galileo_store-float32_pca-none"
    assert score[whole] > score["untrained"] + 0.05
    assert score[whole] > score["pixels"] + 0.02
    assert float(table[whole]["gain_over_pixels"]) == pytest.approx(score[whole] - score["pixels"])
    assert table["pixels"]["gain_over_pixels"] == table["place"]["gain_over_pixels"] == ""
    ablation = rows(clone.results("real") / "tables/ablation_galileo_19.csv")
    assert list(ablation) == [f"galileo_store-{s}_pca-{p}" for s in ("float32", "int8") for p in ("none", 16)]
    assert abs(float(ablation["galileo_store-int8_pca-none"]["map_macro_less_the_first"])) < 0.02


def test_smaller_vectors_say_what_they_are(clone: Clone, study: dict[str, Any]):
    features = clone.results("real") / "features"
    small = read_metadata(features / "galileo_store-int8_pca-16.parquet")
    assert small["pca"]["components"] == 16
    assert len(small["quantization"]["scale"]) == 16
    assert not (features / "galileo_store-int8_pca-16/whole.parquet").exists()
    bytes_of = {
        name: (features / f"galileo_store-{name}_pca-none.parquet").stat().st_size for name in ("float32", "int8")
    }
    assert bytes_of["int8"] < 0.6 * bytes_of["float32"]


def test_a_new_feature_set_runs_its_own_jobs_alone(clone: Clone, study: dict[str, Any]):
    assert clone.planned("tables", config=study) == {}
    whole = clone.results("real") / "features/galileo_store-float32_pca-none.parquet"
    table = pl.read_parquet(whole)
    path = clone.folder / "vectors.npz"
    np.savez(path, patch_id=table["patch_id"].to_numpy().astype(str), embedding=table["embedding"].to_numpy())
    more = study | {"features": {**study["features"], "elsewhere": {"kind": "file", "path": str(path)}}}
    jobs = clone.planned("tables", config=more)
    assert {name: jobs[name] for name in jobs if name not in ("config", "tables")} == {
        "take_vectors": 1,
        "neighbors": 1,
        "retrieval": 1,
        "train": 1,
        "evaluate": 1,
        "by_place": 1,
        "compare": 1,
        "doubts": 1,
        "table": 1,
        "manifest": 1,
        "summary": 1,
    }
    clone.run("tables", config=more)
    scores = rows(clone.results("real") / "tables/classification_19.csv")
    for metric in ("map_macro", "f2_macro", "hamming_loss"):
        assert scores["elsewhere"][metric] == scores["galileo_store-float32_pca-none"][metric]
    assert "elsewhere: vectors.npz, no pixels" in (clone.results("real") / "tables/classification_19.md").read_text()


def test_an_edit_of_a_models_file_runs_its_own_jobs(clone: Clone, study: dict[str, Any], module: Any):
    module("models/location")
    assert clone.planned("features", config=study)["take_vectors"] == 1
    assert "embed" not in clone.planned("features", config=study)
    module("models/galileo")
    jobs = clone.planned("features", config=study)
    assert jobs["embed"] == 2 * 2, "two shards, trained and untrained"
    assert "embed_on_cpu" not in jobs
