import json
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.evaluate import FIGURES, average_precisions, by_class, evaluate, overall
from earthprobe.files import with_metadata
from sklearn import metrics


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets with an empty class and a full one, and scores with ties."""
    rng = np.random.default_rng(seed)
    targets = rng.random((200, 7)) < rng.uniform(0.02, 0.6, 7)
    targets[:, 2] = False
    targets[:, 5] = True
    scores = np.round(np.clip(0.4 * targets + rng.normal(0.3, 0.25, targets.shape), 0, 1), 2).astype(np.float32)
    scores[:, 6] = 0.1  # never predicted
    return targets, scores


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_scikit_learns(seed: int):
    targets, scores = random_case(seed)
    got = overall(targets, scores, 0.5)
    predicted = scores > 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = metrics.classification_report(targets, predicted, output_dict=True, zero_division=0)
        assert got["map_macro"] == pytest.approx(metrics.average_precision_score(targets, scores, average="macro"))
        assert got["map_micro"] == pytest.approx(metrics.average_precision_score(targets, scores, average="micro"))
    for average in ("macro", "micro"):
        row = report[f"{average} avg"]
        assert got[f"precision_{average}"] == pytest.approx(row["precision"])
        assert got[f"f1_{average}"] == pytest.approx(row["f1-score"])
    assert got["hamming_loss"] == pytest.approx((targets != predicted).mean())
    assert got["classes_without_positive"] == 1
    assert got["patches"] == 200


@pytest.mark.parametrize("seed", range(5))
def test_f2_and_confusion_equal_their_definition(seed: int):
    targets, scores = random_case(seed)
    predicted = scores > 0.5
    tp = (targets & predicted).sum(axis=0)
    fp = (~targets & predicted).sum(axis=0)
    fn = (targets & ~predicted).sum(axis=0)
    tn = (~targets & ~predicted).sum(axis=0)
    denominator = 5 * tp + 4 * fn + fp
    f2 = np.divide(5 * tp, denominator, out=np.zeros(7), where=denominator > 0)
    got = overall(targets, scores, 0.5)
    assert got["f2_macro"] == pytest.approx(f2.mean())
    assert got["f2_micro"] == pytest.approx(5 * tp.sum() / (5 * tp.sum() + 4 * fn.sum() + fp.sum()))
    rows = [dict(zip(FIGURES, row, strict=True)) for row in by_class(targets, scores, 0.5)]
    for i, row in enumerate(rows):
        assert (row["tn"], row["fp"], row["fn"], row["tp"]) == (tn[i], fp[i], fn[i], tp[i])
        assert row["support"] == targets[:, i].sum()
        assert row["f2"] == pytest.approx(f2[i])
    assert rows[2]["f2"] == rows[2]["ap"] == rows[2]["recall"] == 0


def test_a_score_at_the_threshold_is_no_prediction():
    assert overall(np.array([[True]]), np.array([[0.5]], np.float32), 0.5)["f1_micro"] == 0
    assert overall(np.array([[True]]), np.array([[0.51]], np.float32), 0.5)["f1_micro"] == 1


def test_no_positive_at_all_scores_zero():
    got = overall(np.zeros((4, 2), bool), np.full((4, 2), 0.2, np.float32), 0.5)
    assert got["map_micro"] == got["map_macro"] == got["f2_macro"] == 0
    assert got["hamming_loss"] == 0
    assert average_precisions(np.zeros((4, 2), bool), np.zeros((4, 2), np.float32)) == [0, 0]


ORIGIN = {"archive": "a", "simulated": True, "weights": "random:3"}


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
    evaluate(tmp_path / "scores.parquet", 0.4, tmp_path / "metrics.json", tmp_path / "per_class.csv")
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["threshold"] == 0.4
    assert result["test"] == overall(targets[80:], scores[80:], 0.4)
    assert result["val"] == overall(targets[:80], scores[:80], 0.4)
    assert result["probe"] == {"kind": "linear"}
    lines = (tmp_path / "per_class.csv").read_text().splitlines()
    assert lines[0] == "class,name,support,precision,recall,f1,f2,ap,tn,fp,fn,tp,data,weights"
    for number, (line, row) in enumerate(zip(lines[1:], by_class(targets[80:], scores[80:], 0.4), strict=True)):
        figures = ",".join(map(str, row))
        assert line == f"{number},{'abcdefg'[number]},{figures},simulated archive a,random weights (seed 3)"
