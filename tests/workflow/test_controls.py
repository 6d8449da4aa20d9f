"""Controls, comparisons and buffers in a run, and what a change of them runs again."""

import json
from typing import Any

import polars as pl
import pytest

from tests.clone import TINY, Clone

HELD: dict[str, Any] = TINY | {
    "archive": TINY["archive"] | {"name": "held"},
    "probes": {"linear": TINY["probes"]["linear"]},
    "label_sets": [19],
    "controls": ["prior", "tile", "neighbours", "permuted"],
    "buffers": [0, 2],
}


@pytest.fixture(scope="module")
def held(clone: Clone) -> Clone:
    """The clone, in which this configuration has run."""
    clone.run("tables", "figures", config=HELD)
    return clone


def rows(clone: Clone, name: str) -> pl.DataFrame:
    return pl.read_csv(clone.results("held") / f"tables/{name}_19.csv", infer_schema_length=None)


def test_every_control_is_a_row_with_intervals(held: Clone):
    table = rows(held, "classification").filter(pl.col("source") == "this run")
    found = table.select("features", "probe").rows()
    assert found == [("pixels", "linear"), *(("control", name) for name in HELD["controls"])]
    for metric in ("f2_macro", "f2_micro", "hamming_loss", "precision_macro", "map_macro", "map_micro"):
        assert (table[f"{metric}_low"] <= table[metric]).all()
        assert (table[metric] <= table[f"{metric}_high"]).all()
        assert table[f"{metric}_patch_low"].null_count() == 0
    text = (held.results("held") / "tables/classification_19.md").read_text()
    assert "Control neighbours: the labels of the 10 nearest train patches" in text
    assert "never trained" not in text


def test_the_best_row_is_compared_with_all_others(held: Clone):
    table = rows(held, "comparison").filter(pl.col("metric") == "map_macro")
    assert table.select("row", "other").rows() == [("pixels/linear", f"control/{name}") for name in HELD["controls"]]
    assert (held.results("held") / "figures/comparison_19.png").is_file()


def test_the_permuted_probe_is_the_probe_under_other_labels(held: Clone):
    folder = held.results("held") / "controls/19/permuted"
    permuted, own = (
        json.loads(path.read_text())
        for path in (folder / "metrics.json", held.results("held") / "probes/pixels/19/linear/metrics.json")
    )
    assert permuted["permuted"] == 0
    assert permuted["probe"] == own["probe"]
    scores = [pl.read_parquet(path) for path in (
        folder / "scores.parquet", held.results("held") / "probes/pixels/19/linear/scores.parquet")]  # fmt: skip
    assert scores[0]["targets"].equals(scores[1]["targets"])
    assert not scores[0]["scores"].equals(scores[1]["scores"])


def test_a_strip_around_test_leaves_train_patches_out(held: Clone):
    table = pl.read_csv(held.results("held") / "figures/buffer_19.csv")
    index = pl.read_parquet(held.results("held") / "index.parquet").filter(pl.col("split") == "train")
    for (width,) in table.select("cells").unique().rows():
        left = table.filter(pl.col("cells") == width)["train_patches"].unique().to_list()
        assert left == [index.filter(pl.col("cells_to_test") > width).height if width else index.height]
    whole = table.filter((pl.col("row") == "pixels/linear") & (pl.col("cells") == 0))["score"][0]
    own = json.loads((held.results("held") / "probes/pixels/19/linear/metrics.json").read_text())
    assert whole == own["test"]["map_macro"]


def test_other_controls_train_nothing_again(held: Clone):
    config = HELD | {"controls": ["prior", "country"], "buffers": []}
    compared = {"compare": 1, "figure_comparison": 1, "table": 1, "manifest": 1, "summary": 1, "first_page": 1}
    compared |= {"by_place": 1, "figure_distance": 1, "figure_map": 1}
    wanted = {"control": 1, "evaluate_controls": 1, **compared, "config": 1}
    planned = held.planned("tables", "figures", config=config)
    assert {rule: count for rule, count in planned.items() if rule not in ("tables", "figures")} == wanted


def test_other_draws_train_nothing_again(held: Clone):
    config = HELD | {"intervals": {"draws": 200, "cluster": "patch"}, "buffers": []}
    planned = held.planned("tables", config=config)
    compared = {"compare": 1, "by_place": 1, "retrieval": 1, "table": 1, "manifest": 1, "summary": 1, "tables": 1}
    compared |= {"doubts": 1, "config": 1}
    assert planned == {"evaluate": 1, "evaluate_controls": 1, **compared}


def test_other_pairs_evaluate_nothing_again(held: Clone):
    planned = held.planned("tables", config=HELD | {"compare": "all"})
    assert planned == {"compare": 1, "table": 1, "manifest": 1, "summary": 1, "tables": 1, "config": 1}


def test_a_buffer_trains_again(held: Clone):
    planned = held.planned("tables", config=HELD | {"buffer": 3})
    assert {rule: planned[rule] for rule in ("train", "train_permuted", "control")} == {
        "train": 1, "train_permuted": 1, "control": 1,
    }  # fmt: skip
    assert "embed_on_cpu" not in planned


def test_a_wrong_choice_is_one_line(clone: Clone):
    for key, value, message in (
        ("controls", ["priors"], "config: controls: 'priors' is unknown"),
        ("compare", [["a"]], "config: compare: "),
        ("intervals", {"cluster": "tiles"}, "config: intervals.cluster: 'tiles' is unknown: one of auto, tile"),
        ("buffer", -1, "config: buffer: "),
    ):
        output = clone.fail("--dry-run", config=HELD | {key: value})
        assert message in output, output
        assert "Traceback" not in output


def test_a_study_without_pixels_runs_to_its_figures(clone: Clone):
    lines = ["id,labels,split"]
    for number in range(240):
        name = f"S1A_IW_GRDH_1SDV_20170613T165043_{('33UUP', '29SND')[number % 2]}_{number // 12}_{number % 12}"
        label = "ab"[number % 2] if number % 7 else "b|c"
        lines.append(f"{name},{label},{('train', 'train', 'val', 'test')[number // 12 % 4]}")
    (clone.folder / "table.csv").write_text("\n".join(lines))
    config = {
        "archive": {"name": "bare", "kind": "table", "table": "table.csv", "shards": 1},
        "features": {"place": {"kind": "location"}},
        "probes": {"linear": {"kind": "linear"}},
        "umap": {"sample": 100},
    }
    clone.run("tables", "figures", "check", config=config)
    results = clone.results("bare")
    table = pl.read_csv(results / "tables/classification_labels.csv", infer_schema_length=None)
    scores = dict(table.select("probe", "map_macro").iter_rows())
    assert set(scores) == {"linear", "permuted", *(n for n in ("prior", "all_positive", "country", "month",
        "country_month", "tile", "neighbours"))}  # fmt: skip
    assert scores["tile"] > scores["prior"]
    assert {"Germany", "Portugal"} >= set(pl.read_parquet(results / "index.parquet")["country"])
    assert "test patches touch a train patch" in (results / "check.html").read_text()
    assert not list((results / "figures").glob("gallery*"))
    assert not (results / "shards").exists()
