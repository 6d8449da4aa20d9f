import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class
from earthprobe.steps import doubts
from earthprobe.storage.scores import Scores, write_scores

from tests.unit.steps.test_explore import write_index

CLASSES = ["water", "forest"]


def write(folder: Path, name: str, ids: list[str], scores: np.ndarray, targets: np.ndarray, task: str) -> None:
    source = {"classes": CLASSES, "task": task, "features": {"archive": "x", "simulated": True}}
    write_scores(folder / f"{name}.parquet", Scores(ids, ["test"] * len(ids), scores, targets), source)
    best = "map_macro" if task == "multilabel" else "balanced_accuracy"
    (folder / f"{name}.json").write_text(json.dumps({"task": task, "val": {best: 1.0}}))


def run(folder: Path, names: list[str], index: Path) -> pl.DataFrame:
    doubts.run(
        index=index,
        metrics=[folder / f"{name}.json" for name in names],
        scores=[folder / f"{name}.parquet" for name in names],
        features=names,
        csv=folder / "doubts.csv",
    )
    return pl.read_csv(folder / "doubts.csv")


@pytest.mark.parametrize("task", ["multilabel", "single"])
def test_the_list_is_ranked_as_cleanlab_ranks(tmp_path: Path, task: str):
    rng = np.random.default_rng(0)
    index = write_index(tmp_path / "index.parquet", ["test"] * 50, [[0]] * 50)
    ids = pl.read_parquet(index)["patch_id"].to_list()
    first = rng.random(50) < 0.5
    targets = np.column_stack([first, ~first if task == "single" else rng.random(50) < 0.5])
    scores = rng.random((50, 2)).astype(np.float32)
    write(tmp_path, "one", ids, scores, targets, task)
    table = run(tmp_path, ["one"], index)
    labels = [np.flatnonzero(row).tolist() for row in targets]
    quality = get_label_quality_scores_per_class(labels, scores)
    flagged = find_multilabel_issues_per_class(labels, scores, n_jobs=1)
    for number in range(2):
        for label, members in (("has", targets[:, number]), ("lacks", ~targets[:, number])):
            here = table.filter((pl.col("class") == number) & (pl.col("label") == label))
            if task == "single" and label == "lacks":
                assert here.is_empty()
                continue
            rows = np.flatnonzero(members & ((quality[:, number] < 0.5) | flagged[:, number]))
            ranked = rows[np.argsort(quality[rows, number], kind="stable")][: doubts.EACH]
            assert here["patch_id"].to_list() == [ids[row] for row in ranked]
            np.testing.assert_allclose(here["quality"], quality[ranked, number], atol=5.1e-5)
            np.testing.assert_allclose(here["score_one"], scores[ranked, number], atol=5.1e-5)


def test_feature_sets_agree_on_the_patches_that_they_have(tmp_path: Path):
    index = write_index(tmp_path / "index.parquet", ["test"] * 40, [[0]] * 40)
    ids = pl.read_parquet(index)["patch_id"].to_list()
    rng = np.random.default_rng(1)
    targets = rng.random((40, 2)) < 0.5
    good = np.where(targets, 0.9, 0.1).astype(np.float32)
    good[[3, 35], 0] = 1 - good[[3, 35], 0]  # labels that each takes for wrong where it has the patch
    write(tmp_path, "all", ids, good, targets, "multilabel")
    write(tmp_path, "some", ids[:30], good[:30], targets[:30], "multilabel")
    table = run(tmp_path, ["all", "some"], index)
    of_class = table.filter(pl.col("class") == 0).sort("patch_id")
    found = of_class.select("patch_id", "doubted_by", "scored_by", "score_some").rows()
    assert found == [(ids[3], 2, 2, pytest.approx(good[3, 0])), (ids[35], 1, 1, None)]
    assert table.filter(pl.col("class") == 1).is_empty()
