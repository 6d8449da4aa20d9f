import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from earthprobe.evaluation.intervals import evaluated
from earthprobe.evaluation.metrics import by_class, overall
from earthprobe.steps import evaluate
from earthprobe.storage.parquet import read_metadata, with_metadata

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
            "probe": {"kind": "linear"},
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
    )
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["threshold"] == 0.4
    assert result["test"] == overall(targets[80:], scores[80:], 0.4)
    assert result["val"] == overall(targets[:80], scores[:80], 0.4)
    assert result["probe"] == {"kind": "linear"}
    assert (result["task"], result["classes_left_out"]) == ("multilabel", {"h": 2})
    sure = evaluated(targets[80:], scores[80:][None], [f"t{i % 25}" for i in range(80, 200)], 0.4, "multilabel")
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
    assert lines[0] == f"class,name,support,precision,recall,f1,f2,ap,tn,fp,fn,tp,data,weights,{ends}"
    for number, (line, row) in enumerate(zip(lines[1:], by_class(targets[80:], scores[80:], 0.4), strict=True)):
        figures = ",".join(map(str, row))
        origin = "simulated archive a,random weights (seed 3)"
        low, high = sure.by_class[number]["f2"]
        assert line.startswith(f"{number},{'abcdefg'[number]},{figures},{origin},")
        assert line.split(",")[-4:-2] == [str(low), str(high)]
