import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from earthprobe.evaluation.metrics import by_class, overall
from earthprobe.steps import evaluate
from earthprobe.storage.parquet import with_metadata

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
    evaluate.run(
        scores=tmp_path / "scores.parquet",
        threshold=0.4,
        metrics=tmp_path / "metrics.json",
        per_class=tmp_path / "per_class.csv",
    )
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["threshold"] == 0.4
    assert result["test"] == overall(targets[80:], scores[80:], 0.4)
    assert result["val"] == overall(targets[:80], scores[:80], 0.4)
    assert result["probe"] == {"kind": "linear"}
    assert (result["task"], result["classes_left_out"]) == ("multilabel", {"h": 2})
    lines = (tmp_path / "per_class.csv").read_text().splitlines()
    assert lines[0] == "class,name,support,precision,recall,f1,f2,ap,tn,fp,fn,tp,data,weights"
    for number, (line, row) in enumerate(zip(lines[1:], by_class(targets[80:], scores[80:], 0.4), strict=True)):
        figures = ",".join(map(str, row))
        assert line == f"{number},{'abcdefg'[number]},{figures},simulated archive a,random weights (seed 3)"
