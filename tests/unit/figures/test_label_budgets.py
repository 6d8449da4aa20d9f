"""Curves of label efficiency by their content."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.evaluation.metrics import METRICS
from earthprobe.figures import label_budgets as figure
from matplotlib.figure import Figure


def test_a_line_a_feature_set_in_a_panel_a_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn: list[Figure] = []
    monkeypatch.setattr(figure, "save", lambda made, outputs: drawn.append(made))
    rows = [(f, p, b) for f in ("dofa", "pixels") for p in ("linear", "mlp") for b in ("all", "100")]
    paths = []
    for number, (features, _, budget) in enumerate(rows):
        test = {metric.name: 0.2 + number / 50 for metric in METRICS}
        content = {
            "task": "multilabel",
            "test": test,
            "intervals": {name: [value - 0.02, value + 0.01] for name, value in test.items()},
            "intervals_by": {"level": 0.95, "repeats": 1 if budget == "all" else 5},
            "patches": {"train": 5000 if budget == "all" else 100},
            "classes": list("abc"),
            "features": {"archive": "x", "simulated": False, "weights": features},
        }
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(content))
    features, probes, budgets = zip(*rows, strict=True)
    figure.run(
        metrics=paths,
        features=features,
        probes=probes,
        budgets=budgets,
        csv=tmp_path / "b.csv",
        md=tmp_path / "b.md",
        images=[],
    )
    table = pl.read_csv(tmp_path / "b.csv", infer_schema_length=None)
    assert table.height == len(rows) * len(METRICS)
    linear = drawn[0].axes[0]
    assert linear.get_title() == "linear"
    assert [line.get_label() for line in linear.lines] == ["dofa", "pixels"]
    np.testing.assert_allclose(linear.lines[0].get_ydata(), [22, 20])  # 100 patches, then all
    np.testing.assert_allclose(linear.lines[0].get_xdata(), [100, 5000], rtol=0.1)
    text = (tmp_path / "b.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| dofa") and "linear" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")][2:] == [
        "20.0 [18.0, 21.0] (5,000)",
        "22.0 [20.0, 23.0] (100)",
    ]
