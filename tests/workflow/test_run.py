import csv
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import yaml

from tests.clone import TINY, Clone
from tests.conftest import SHARED, needs


def test_tables_hold_three_probes(clone: Clone):
    for label_set in (19, 43):
        with (clone.results() / f"tables/classification_{label_set}.csv").open() as stream:
            ours = [row for row in csv.DictReader(stream) if row["source"] == "this run"]
        assert [row["probe"] for row in ours] == ["forest", "linear", "mlp"]
        for row in ours:
            assert 0 <= float(row["f2_micro"]) <= 1
            assert row["weights"] == "no weights"
            assert row["data"] == "simulated archive tiny"


def test_features_are_complete_and_readable_as_they_are(clone: Clone):
    path = clone.results() / "features/pixels.parquet"
    index = pl.read_parquet(clone.results() / "index.parquet")
    table = pl.read_parquet(path)
    assert table["patch_id"].to_list() == index["patch_id"].to_list()
    vectors = table["embedding"].to_numpy()
    assert vectors.shape == (48, 18)
    assert np.isfinite(vectors).all()
    assert np.unique(vectors[:, 0]).size == 48
    frame = pd.read_parquet(path)
    np.testing.assert_array_equal(np.stack(frame["embedding"]), vectors)
    rows = duckdb.sql(f"select patch_id, embedding[1] from '{path}' order by patch_id").fetchall()  # noqa: S608
    assert rows == list(zip(table["patch_id"], vectors[:, 0].tolist(), strict=True))


def test_metrics_say_how_they_came_about(clone: Clone):
    metrics = json.loads((clone.results() / "probes/pixels/19/linear/metrics.json").read_text())
    assert metrics["probe"].items() >= TINY["probes"]["linear"].items()
    assert metrics["chosen"]["strength"] == 0.1
    assert metrics["features"]["kind"] == "statistics"
    assert metrics["features"]["normalization"] == {"kind": "none"}
    assert metrics["features"]["simulated"] is True
    forest = json.loads((clone.results() / "probes/pixels/43/forest/metrics.json").read_text())
    assert forest["probe"]["seed"] == 0
    assert forest["probe"]["n_estimators"] == 5


def test_every_rule_has_a_log_and_a_benchmark(clone: Clone):
    for step in (
        "index",
        "shard/s1/0000",
        "shard_statistics/s1",
        "embed/pixels/0002",
        "merge/pixels",
        "train/pixels/19/mlp",
    ):
        assert (clone.results() / f"benchmarks/{step}.tsv").stat().st_size > 0
        assert (clone.results() / f"logs/{step}.log").stat().st_size > 0


def test_show_prints_tables_and_places(clone: Clone):
    command = [str(Path(sys.executable).with_name("earthprobe")), "show", str(clone.results())]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "# Classification, 19 classes" in output
    assert "# Classification, 43 classes" in output
    assert "Simulated archive" in output
    assert str(clone.results() / "features") in output


def test_another_config_replaces_the_demos(clone: Clone):
    stored = yaml.safe_load((clone.results() / "config.yaml").read_text())
    demo = yaml.safe_load((clone.folder / "config/config.yaml").read_text())
    assert set(demo["probes"]) - set(TINY["probes"]) == {"random_forest"}
    assert set(stored["probes"]) == set(TINY["probes"])
    assert set(stored["features"]) == {"pixels"}
    assert stored["archive"]["patches"] == 48
    assert stored["probes"]["mlp"]["learning_rate"] == 0.0003


def test_a_value_on_the_command_line_changes_the_demo(clone: Clone):
    jobs = clone.planned("--config", "threshold=0.25")
    assert jobs["evaluate"] == 12
    assert jobs["table"] == 2
    assert "--threshold 0.25 " in clone.run("--dry-run", "--printshellcmds", "--config", "threshold=0.25")


def test_confusion_matrices_are_drawn_of_the_probes_that_are_asked_for(clone: Clone):
    jobs = clone.planned("--forceall", config={**TINY, "figures": {"probes": ["mlp"]}})
    assert (jobs["figure_confusion"], jobs["figure_gallery"], jobs["evaluate"]) == (2, 2, 6)
    jobs = clone.planned("--forceall", config={**TINY, "figures": {"probes": []}})
    assert "figure_confusion" not in jobs
    assert jobs["figure_f2_per_class"] == 2


def test_a_trained_model_comes_to_the_demo(clone: Clone):
    """As `make demo GALILEO=FOLDER` has it, of an archive that no other test has made."""
    fresh = "archive={name: untouched}"
    weights = needs(SHARED.parent / "models/galileo-nano/encoder.pt")
    files = ("--configfile", "config/config.yaml", "config/demo-galileo.yaml")
    given = f'features={{galileo_nano: {{weights: "{weights}"}}}}'
    jobs = clone.planned("features", *files, "--config", given, fresh)
    assert jobs["embed_weights"] == 2
    assert jobs["merge"] == 3
    printed = clone.run("--dry-run", "--printshellcmds", "features", *files, "--config", given, fresh)
    assert f"--weights {weights}" in printed
    # Which comes beside what the demo has made, and makes nothing of it again.
    assert "simulate_optical" in clone.planned("features", "--config", fresh)


def test_sentinel_2_is_drawn_where_it_is_seen(clone: Clone):
    """And nothing of Sentinel-1 again."""
    both = {"kind": "statistics", "bands": ["VV", "B04"]}
    config = {**TINY, "features": {**TINY["features"], "both": both}, "probes": {"linear": TINY["probes"]["linear"]}}
    jobs = clone.planned("features", config=config)
    new = {"simulate_optical": 1, "shard": 3, "shard_statistics": 1, "rejected": 1, "embed_on_cpu": 3, "merge": 1}
    assert {name: jobs[name] for name in jobs if name not in ("config", "features")} == new
    clone.run("features", "check", config=config)
    assert clone.planned("features", "check", config=config) == {}
    table = pl.read_parquet(clone.results() / "features/both.parquet")
    assert table["embedding"].to_numpy().shape == (48, 18)
    assert (clone.results() / "rejected.csv").read_text().count("\n") == 1
    page = (clone.results() / "check.html").read_text()
    assert "pixels of B12" in page
    # Back to the radar alone, which the other tests expect.
    clone.run(config=TINY)


def test_a_forest_of_several_jobs_is_that_of_one_to_the_byte(clone: Clone):
    forest = {**TINY["probes"]["forest"], "seeds": 2}
    config = {**TINY, "archive": {**TINY["archive"], "name": "forests"}, "probes": {"forest": forest}, "controls": []}
    folder = clone.results("forests") / "probes/pixels/19/forest"
    files = [folder / name for name in ("scores.parquet", "seed1/scores.parquet", "model.safetensors")]
    targets = [str(path.relative_to(clone.folder)) for path in files]
    clone.run(*targets, config=config)
    before = [path.read_bytes() for path in files]
    several = {**config, "probes": {"forest": {**forest, "jobs": 3}}}
    assert clone.planned(*targets, config=several) == {"train_part": 6, "train": 1, "train_seed": 1}
    clone.run(*targets, config=several)
    assert [path.read_bytes() for path in files] == before
    assert not list(folder.rglob("trees/*/*")), "they are for this alone"
    assert clone.planned(*targets, config=several) == {}


def test_named_targets(clone: Clone):
    fresh = {**TINY, "archive": {**TINY["archive"], "name": "fresh"}}
    archive = {"simulate": 1, "index_patches": 1, "index": 1}
    shards = {**archive, "shard": 3, "shard_statistics": 1, "rejected": 1, "config": 1}
    features = {**shards, "embed_on_cpu": 3, "merge": 1}
    for target, expected in (("index", archive), ("shards", shards), ("features", features)):
        planned = clone.planned(target, config=fresh)
        planned.pop(target) if target != "index" else None
        assert planned == expected, target
    assert clone.planned("tables", config=fresh)["table"] == 2


@pytest.mark.parametrize(("shards", "cores"), [(7, 2), (1, 1)])
def test_results_do_not_depend_on_shards_and_cores(clone: Clone, shards: int, cores: int):
    archive = TINY["archive"] | {"name": f"shards{shards}", "shards": shards}
    clone.run("features", "--cores", str(cores), config=TINY | {"archive": archive})
    here, there = clone.results(), clone.results(archive["name"])
    three, other = (pl.read_parquet(results / "index.parquet") for results in (here, there))
    assert other["shard"].n_unique() == {7: 7, 1: 1}[shards]
    assert three.drop("shard").equals(other.drop("shard"))
    a, b = (pl.read_parquet(results / "features/pixels.parquet") for results in (here, there))
    assert a["patch_id"].equals(b["patch_id"])
    np.testing.assert_allclose(a["embedding"].to_numpy(), b["embedding"].to_numpy(), atol=1e-5)
    figures = [json.loads((results / "band_statistics/s1.json").read_text())["train"] for results in (here, there)]
    assert figures[0] == figures[1]
