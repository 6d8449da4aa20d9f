"""The reliability figure by its content."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.evaluation.calibration import reliability
from earthprobe.figures import reliability as figure
from earthprobe.steps.evaluate import PROMISES
from earthprobe.storage.files import write_csv
from matplotlib.figure import Figure


@pytest.fixture
def calibration(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for power in (1, 2):
        scores = rng.random((300, 4)).astype(np.float32)
        targets = rng.random((300, 4)) < scores**power
        origin = ("archive x", "DOFA_MAE")
        rows = [("plain", *one, *origin) for one in reliability(targets, scores)]
        rows += [("tempered", *one, *origin) for one in reliability(targets[:2], scores[:2])]
        paths.append(tmp_path / f"{power}.csv")
        write_csv(paths[-1], PROMISES, rows)
    return paths


def test_a_line_goes_through_the_bins_with_enough_scores(
    calibration: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[Figure] = []
    monkeypatch.setattr(figure, "save", lambda made, outputs: drawn.append(made))
    figure.run(probes=["linear", "mlp"], calibration=calibration, csv=tmp_path / "r.csv", images=[])
    table = pl.read_csv(tmp_path / "r.csv", infer_schema_length=None)
    assert table.height == 2 * 2 * 15
    left, right = drawn[0].axes
    assert [line.get_label() for line in left.lines[1:]] == ["linear", "mlp"]
    want = table.filter((pl.col("probe") == "mlp") & (pl.col("scores") == "plain"))
    np.testing.assert_allclose(left.lines[2].get_xydata(), want.select("score", "share").to_numpy())
    assert all(len(line.get_xdata()) == 0 for line in right.lines[1:]), "two patches fill no bin"
    assert left.lines[1].get_marker() != left.lines[2].get_marker()
