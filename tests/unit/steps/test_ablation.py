import csv
import json
from pathlib import Path

import pytest
from earthprobe.evaluation.metrics import METRICS
from earthprobe.figures import ablation as figure
from earthprobe.steps import ablation

VALUES = {
    "rcf_seed-0_store-float32": {"seed": 0, "wavelengths": [3.75, 3.75]},
    "rcf_seed-0_store-int8": {"seed": 1, "wavelengths": [5.405, 5.405]},
}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An ablation of two settings and two probes."""
    paths, features, probes = [], [], []
    for i, name in enumerate(VALUES):
        for j, probe in enumerate(("linear", "knn")):
            test = {metric.name: 0.5 - i / 100 + j / 10 for metric in METRICS} | {"patches": 63}
            sure = {
                "intervals": {metric.name: [test[metric.name] - 0.02, test[metric.name] + 0.01] for metric in METRICS}
            }
            sure |= {"intervals_by": {"level": 0.95, "draws": 1000, "cluster": "tile", "clusters": 30}}
            source = {"archive": "x", "simulated": True, "weights": ["a.pth", "random:0"][i]}
            paths.append(tmp_path / f"{i}{j}.json")
            paths[-1].write_text(
                json.dumps({"task": "multilabel", "test": test, "features": source, "classes": ["a"] * 19, **sure})
            )
            features.append(name)
            probes.append(probe)
    ablation.run(
        metrics=paths,
        features=features,
        probes=probes,
        values=json.dumps(VALUES),
        label_set="19",
        csv=tmp_path / "a.csv",
        md=tmp_path / "a.md",
    )
    return tmp_path


def test_each_row_says_what_varies_and_what_it_costs(made: Path):
    with (made / "a.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[:5] == ["features", "seed", "wavelengths", "probe", "f2_macro"]
    assert [(r["seed"], r["wavelengths"], r["probe"]) for r in rows] == [
        ("0", "3.75 3.75", "linear"),
        ("0", "3.75 3.75", "knn"),
        ("1", "5.405 5.405", "linear"),
        ("1", "5.405 5.405", "knn"),
    ]
    assert [float(r["map_macro_less_the_first"]) for r in rows] == pytest.approx([0, 0, -0.01, -0.01])
    assert [r["weights"] for r in rows] == ["a.pth"] * 2 + ["random weights (seed 0)"] * 2
    text = (made / "a.md").read_text()
    assert "# Ablation of seed, wavelengths, 19 classes" in text
    assert "simulated archive x, a.pth, random weights (seed 0); test split of 63 patches" in text
    assert "Simulated archive" in text
    assert "test split of 63 patches" in text
    assert text.count("| -1.0") == 0
    assert text.count("-1.0 |") == 2


def test_the_figure_has_the_same_numbers(made: Path):
    figure.run(table=made / "a.csv", csv=made / "f.csv", images=[made / "f.png"])
    with (made / "f.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(r["score"]) for r in rows] == pytest.approx([0.5, 0.6, 0.49, 0.59])
    assert {r["metric"] for r in rows} == {"map_macro"}
    assert [float(r["low"]) for r in rows] == pytest.approx([0.48, 0.58, 0.47, 0.57])
    columns = ["features", "seed", "wavelengths", "probe", "score", "low", "high", "data", "weights", "metric"]
    assert list(rows[0]) == columns
    assert (made / "f.png").read_bytes().startswith(b"\x89PNG")
