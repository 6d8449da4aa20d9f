"""Seeds and label budgets in a run, and what a change of them runs again."""

import json
from typing import Any

import polars as pl
import pytest

from tests.clone import TINY, Clone

SEEDED: dict[str, Any] = TINY | {
    "archive": TINY["archive"] | {"name": "seeded"},
    "features": {"rcf": {"kind": "rcf", "bands": ["VV", "VH"], "features": 16, "seeds": 2}},
    "probes": {"linear": TINY["probes"]["linear"], "mlp": TINY["probes"]["mlp"] | {"seeds": 3}},
    "label_sets": [19],
    "label_budgets": [8, "all"],
    "label_draws": 2,
}


@pytest.fixture(scope="module")
def seeded(clone: Clone) -> Clone:
    """The clone, in which this configuration has run."""
    clone.run("tables", "figures", config=SEEDED)
    return clone


def metrics(clone: Clone, folder: str) -> dict[str, Any]:
    return json.loads((clone.results("seeded") / folder / "metrics.json").read_text())


def test_a_row_is_the_mean_over_its_seeds_and_their_mean_scores_are_another(seeded: Clone):
    table = pl.read_csv(seeded.results("seeded") / "tables/classification_19.csv", infer_schema_length=None)
    ours = table.filter(pl.col("source") == "this run")
    assert ours["probe"].to_list() == ["linear", "linear_ensemble", "mlp", "mlp_ensemble"]
    assert ours["seeds"].to_list() == [2, 1, 2, 1]
    result = metrics(seeded, "probes/rcf/19/mlp")
    assert ours["map_macro"][2] == result["test"]["map_macro"]
    each = [one["map_macro"] for one in result["seeds"]["each"]]
    assert result["test"]["map_macro"] == pytest.approx(sum(each) / 2)
    assert each[0] != each[1]
    assert ours["map_macro_seed_deviation"][2] == pytest.approx(abs(each[0] - each[1]) / 2**0.5)
    folder = seeded.results("seeded") / "probes"
    # Where filters have seeds, each is probed with a seed of its own.
    paths = [folder / name / "scores.parquet" for name in ("rcf/19/mlp", "rcf_seed-1/19/mlp/seed1")]
    one, two, mean = (pl.read_parquet(path) for path in (*paths, folder / "rcf/19/mlp_ensemble/scores.parquet"))
    want = (one["scores"].to_numpy() + two["scores"].to_numpy()) / 2
    assert mean["scores"].to_numpy() == pytest.approx(want, abs=1e-6)
    text = (seeded.results("seeded") / "tables/classification_19.md").read_text()
    assert "## Thresholds" in text
    assert "## Calibration" in text
    assert "mAP macro of single seeds: rcf/linear " in text


def test_curves_have_each_budget_and_the_whole(seeded: Clone):
    table = pl.read_csv(seeded.results("seeded") / "figures/label_budgets_19.csv", infer_schema_length=None)
    here = table.filter(pl.col("metric") == "map_macro")
    assert here.select("features", "probe", "budget", "draws").rows() == [
        ("rcf", "linear", "8", 2),
        ("rcf", "linear", "all", 1),
        ("rcf", "mlp", "8", 2),
        ("rcf", "mlp", "all", 1),
    ]
    assert here["train_patches"].to_list() == [8, 25, 8, 25]
    assert here["score"][3] == metrics(seeded, "probes/rcf/19/mlp")["test"]["map_macro"]
    for end in ("figures/label_budgets_19.png", "tables/label_budgets_19.md", "figures/reliability_rcf_19.pdf"):
        assert (seeded.results("seeded") / end).is_file()


def test_one_more_seed_trains_that_seed_alone(seeded: Clone):
    assert seeded.planned("tables", "figures", config=SEEDED) == {}
    probes = {"linear": SEEDED["probes"]["linear"], "mlp": TINY["probes"]["mlp"] | {"seeds": 2}}
    features = {"rcf": SEEDED["features"]["rcf"] | {"seeds": 3}}
    planned = seeded.planned("tables", config=SEEDED | {"features": features, "probes": probes})
    rows = {"evaluate": 4, "by_place": 1, "compare": 1, "doubts": 1, "table": 1, "manifest": 1, "summary": 1}
    rows |= {"tables": 1, "config": 1}
    new = {"embed_on_cpu": 3, "merge": 1, "train": 1, "train_seed": 1, "ensemble": 2}
    assert planned == {**new, **rows}


def test_another_budget_trains_its_own(seeded: Clone):
    planned = seeded.planned("figures", config=SEEDED | {"label_budgets": [8, 12, "all"]})
    new = {"train_budget": 2, "evaluate_budget": 2, "figure_label_budgets": 1}
    assert planned == {**new, "config": 1, "figures": 1}
    planned = seeded.planned("figures", config=SEEDED | {"label_draws": 3})
    assert planned == {"train_budget": 2, "evaluate_budget": 2, "figure_label_budgets": 1, "config": 1, "figures": 1}


def test_what_cannot_be_is_one_line(clone: Clone):
    for key, value, message in (
        ("label_budgets", ["most"], "config: label_budgets: "),
        ("probes", {"linear": {"kind": "linear", "seeds": 2}}, "config: probes.linear.seeds: nothing of a linear is"),
    ):
        output = clone.fail("--dry-run", config=SEEDED | {key: value})
        assert message in output, output
        assert "Traceback" not in output
