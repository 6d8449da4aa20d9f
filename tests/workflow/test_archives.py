"""Whole runs: the demo of the README, and real patches."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.clone import Clone


def tables(results: Path) -> dict[int, dict[str, dict[str, str]]]:
    """Our rows of each label set, by probe."""
    found = {}
    for label_set in (19, 43):
        with (results / f"tables/classification_{label_set}.csv").open() as stream:
            found[label_set] = {row["probe"]: row for row in csv.DictReader(stream) if row["source"] == "this run"}
    return found


def test_real_patches_go_all_the_way(clone: Clone, v1_sample: Path):
    config: dict[str, Any] = {
        "archive": {"name": "sample", "kind": "bigearthnet-v1", "root": str(v1_sample), "shards": 3},
        "features": {
            "dofa_base": {
                "model": "dofa_base_patch16_224",
                "weights": "random:0",
                "bands": ["VV", "VH"],
                "wavelengths": [3.75, 3.75],
            }
        },
        "probes": {name: {"kind": name} for name in ("random_forest", "linear", "mlp")},
    }
    clone.run(config=config)
    results = clone.results("sample")
    index = pl.read_parquet(results / "index.parquet")
    assert dict(index["split"].value_counts().iter_rows()) == {"train": 69, "val": 25, "test": 35}
    vectors = pl.read_parquet(results / "features/dofa_base.parquet")["embedding"].to_numpy()
    assert vectors.shape == (129, 768)
    assert np.isfinite(vectors).all()
    for rows in tables(results).values():
        assert list(rows) == ["random_forest", "linear", "mlp"]
        assert all(row["data"] == "archive sample" for row in rows.values())
    # Some classes are absent: their panels say so instead of failing.
    for kind in (
        "class_distribution_43",
        "umap_dofa_base_43",
        "gallery_dofa_base_43_mlp",
        "confusion_dofa_base_43_mlp",
    ):
        assert (results / f"figures/{kind}.png").read_bytes().startswith(b"\x89PNG")
        assert (results / f"figures/{kind}.csv").stat().st_size > 0
    assert "imulated" not in (results / "tables/classification_19.md").read_text()


@pytest.fixture(scope="module")
def demo(clone: Clone) -> Path:
    """The demo as `make demo` runs it."""
    clone.run()
    return clone.results("simulated")


def test_the_demos_tables_behave_like_the_studys(demo: Path):
    for label_set, rows in tables(demo).items():
        for metric in ("f2_macro", "f2_micro"):
            assert float(rows["mlp"][metric]) >= float(rows["linear"][metric]), (label_set, metric)
        for row in rows.values():
            assert 0.02 < float(row["f2_macro"]) < 0.5
            assert 0.1 < float(row["f2_micro"]) < 0.8
            assert float(row["f2_macro"]) < float(row["f2_micro"])
            assert 0 < float(row["hamming_loss"]) < 0.25


def test_the_demo_has_no_perfect_class_and_fails_on_rare_ones(demo: Path):
    for label_set in (19, 43):
        for probe in ("random_forest", "linear", "mlp"):
            table = pl.read_csv(demo / f"probes/dofa_base/{label_set}/{probe}/per_class.csv")
            assert table["f2"].max() < 1
            rare = table.filter(pl.col("support").is_between(1, 7))
            assert rare.height >= 2
            assert rare["f2"].mean() < 0.1
            common = table.filter(pl.col("support") > 40)
            assert common["f2"].mean() > rare["f2"].mean() + 0.1


def test_the_demo_runs_once(clone: Clone, demo: Path):
    assert clone.planned() == {}
    assert "Nothing to be done" in clone.run()
