import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.evaluation.intervals import evaluated
from earthprobe.evaluation.metrics import by_class, map_micro_of_batches, overall
from earthprobe.evaluation.runs import runs_of
from earthprobe.steps import evaluate
from earthprobe.storage.parquet import read_metadata, with_metadata
from earthprobe.storage.scores import Scores, of_test, read_scores, write_scores
from sklearn.metrics import fbeta_score

from tests.unit.evaluation.test_metrics import random_case


def test_files(tmp_path: Path):
    targets, scores = random_case(0)
    schema = with_metadata(
        pa.schema(
            [
                ("patch_id", pa.string()),
                ("split", pa.string()),
                ("scores", pa.list_(pa.float32(), 7)),
                ("targets", pa.list_(pa.bool_(), 7)),
            ]
        ),
        {
            "classes": list("abcdefg"),
            "classes_left_out": {"h": 2},
            "task": "multilabel",
            "probe": {"kind": "linear", "protocol": "copernicus-bench"},
            "features": {"archive": "a", "simulated": True, "weights": "random:3"},
        },
    )
    columns = [
        pa.array([f"p{i}" for i in range(200)]),
        pa.array(["val"] * 80 + ["test"] * 120),
        pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), 7),
        pa.FixedSizeListArray.from_arrays(pa.array(targets.ravel()), 7),
    ]
    pq.write_table(pa.table(columns, schema=schema), tmp_path / "scores.parquet")
    pl.DataFrame(
        {
            "patch_id": [f"p{i}" for i in range(200)],
            "tile": [f"t{i % 25}" for i in range(200)],
            "column": pl.Series([0] * 200, dtype=pl.Int16),
            "row": pl.Series([0] * 200, dtype=pl.Int16),
            "group": ["g"] * 200,
        }
    ).write_parquet(tmp_path / "index.parquet")
    evaluate.run(
        scores=[tmp_path / "scores.parquet"],
        index=tmp_path / "index.parquet",
        threshold=0.4,
        metrics=[tmp_path / "metrics.json"],
        per_class=[tmp_path / "per_class.csv"],
        drawn=[tmp_path / "draws.parquet"],
        calibration=[tmp_path / "calibration.csv"],
    )
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["threshold"] == 0.4
    reference = overall(targets[80:], scores[80:], 0.4)
    assert {name: result["test"][name] for name in reference} == reference
    assert result["val"] == overall(targets[:80], scores[:80], 0.4)
    assert result["test"]["map_micro_of_batches"] == map_micro_of_batches(targets[80:], scores[80:])
    assert (result["task"], result["classes_left_out"]) == ("multilabel", {"h": 2})
    row = runs_of([of_test(read_scores(tmp_path / "scores.parquet"))], 0.4, "multilabel")
    sure = evaluated(targets[80:], row.runs, [f"t{i % 25}" for i in range(80, 200)], "multilabel")
    assert result["intervals"] == {name: list(ends) for name, ends in sure.overall.items()}
    assert result["patch_intervals"]["f2_macro"] != result["intervals"]["f2_macro"]
    by = {"level": 0.95, "draws": 1000, "seed": 0, "cluster": "tile", "clusters": 25, "repeats": 1}
    assert result["intervals_by"] == by
    draws = pl.read_parquet(tmp_path / "draws.parquet")
    assert draws["map_macro"].to_list() == sure.draws["map_macro"].tolist()
    said = read_metadata(tmp_path / "draws.parquet")
    assert said["test"] == evaluate.patches_of([f"p{i}" for i in range(80, 200)])
    assert said["left_out"]["map_macro"] == sure.left_out["map_macro"].tolist()
    lines = (tmp_path / "per_class.csv").read_text().splitlines()
    ends = ",".join(f"{name}_{end}" for name in ("precision", "recall", "f1", "f2", "ap") for end in ("low", "high"))
    tuned = ",".join(
        f"{name}_{rule}"
        for rule in ("global", "per_class")
        for name in ("threshold", "precision", "recall", "f1", "f2")
    )
    columns = f"class,name,support,precision,recall,f1,f2,ap,tn,fp,fn,tp,data,weights,{ends},{tuned},ece,ece_tempered"
    assert lines[0] == columns
    for number, (line, counts) in enumerate(zip(lines[1:], by_class(targets[80:], scores[80:], 0.4), strict=True)):
        figures = ",".join(map(str, counts))
        origin = "simulated archive a,random weights (seed 3)"
        low, high = sure.by_class[number]["f2"]
        assert line.startswith(f"{number},{'abcdefg'[number]},{figures},{origin},")
        cells = dict(zip(lines[0].split(","), line.split(","), strict=True))
        assert (cells["f2_low"], cells["f2_high"]) == (str(low), str(high))
        assert float(cells["threshold_global"]) == row.runs[0][0].thresholds["global"][0, number]
        predicted = scores[80:, number] > row.runs[0][0].thresholds["per_class"][0, number]
        want = fbeta_score(targets[80:, number], predicted, beta=2, zero_division=0)
        assert float(cells["f2_per_class"]) == pytest.approx(want)
    assert result["tuned"]["fits"] == 1
    assert result["tuned"]["temperature"] == row.runs[0][0].temperatures[0]
    bins = pl.read_csv(tmp_path / "calibration.csv")
    assert bins.filter(pl.col("scores") == "plain")["pairs"].sum() == 120 * 7
    assert bins["scores"].value_counts()["count"].to_list() == [15, 15]


def test_test_patches_of_one_cluster_are_refused(tmp_path: Path):
    """All draws would be alike, and any difference sure."""
    targets, scores = random_case(0)
    metadata = {"classes": list("abcdefg"), "task": "multilabel", "features": {"archive": "a"}}
    ids, splits = [f"p{i}" for i in range(200)], ["val"] * 80 + ["test"] * 120
    write_scores(tmp_path / "scores.parquet", Scores(ids, splits, scores, targets), metadata)
    pl.DataFrame(
        {
            "patch_id": ids,
            "tile": ["t1"] * 80 + ["t2"] * 120,
            "column": pl.Series([0] * 200, dtype=pl.Int16),
            "row": pl.Series([0] * 200, dtype=pl.Int16),
            "group": ["g"] * 200,
        }
    ).write_parquet(tmp_path / "index.parquet")

    def run(cluster: str, metrics: int = 1, scores: int = 1) -> None:
        evaluate.run(
            scores=[tmp_path / "scores.parquet"] * scores,
            index=tmp_path / "index.parquet",
            threshold=0.5,
            cluster=cluster,
            draws=20,
            **{name: [tmp_path / name] * metrics for name in ("metrics", "per_class", "drawn", "calibration")},
        )

    with pytest.raises(UserError, match=r"intervals.cluster: all test patches are of one tile, t2, .* take auto or"):
        run("tile")
    known = pl.read_parquet(tmp_path / "index.parquet")
    known.with_columns(tile=pl.lit(None, pl.String)).write_parquet(tmp_path / "index.parquet")
    with pytest.raises(UserError, match=r"intervals.cluster: no test patch has a tile: take auto or another"):
        run("tile")
    with pytest.raises(UserError, match="--scores: 3 files for 2 of --metrics"):
        run("patch", metrics=2, scores=3)
