import json
from pathlib import Path
from typing import Any

import pytest
from earthprobe.figures import cost as figure
from earthprobe.models import energy
from earthprobe.steps import cost, embed_weights


@pytest.fixture
def statistics(tmp_path: Path) -> Path:
    path = tmp_path / "s1.json"
    train = {"VV": {"mean": -12, "std": 5}, "VH": {"mean": -19, "std": 5}}
    bands = {band: {"size": 120, "unit": "dB", "wavelength": None} for band in train}
    path.write_text(json.dumps({"train": train, "bands": bands}))
    return path


def job(path: Path, seconds: float, joules: float | None) -> Path:
    content = {"patches": 100, "seconds": seconds, "joules": joules, "peak_mib": 100 * seconds}
    path.write_text(json.dumps({**content, "device": "cpu", "threads": 2}))
    return path


def measured(folder: Path, statistics: Path, joules: float | None, **entry: object) -> dict:
    weights = None
    if "weights" in entry:
        weights = folder / "weights.safetensors"
        embed_weights.run(
            kind=str(entry["kind"]), model=str(entry["model"]), bands=["VV", "VH"], weights="random:0", output=weights
        )
    cost.run(
        model=json.dumps({"bands": ["VV", "VH"], **entry}),
        statistics=[statistics],
        weights=weights,
        jobs=[job(folder / "0.json", 2.0, 30.0), job(folder / "1.json", 3.0, joules)],
        output=folder / "cost.json",
    )
    return json.loads((folder / "cost.json").read_text())


def test_operations_and_parameters_are_those_of_the_architecture(tmp_path: Path, statistics: Path):
    found = measured(tmp_path, statistics, 20.0, kind="timm", model="resnet18", weights="random:0")
    # He et al. 2015: 1.8 billion multiplications with their additions for 224 pixels; 11.7 million less the classifier.
    assert found["flop"] == pytest.approx(2 * 1.82e9, rel=0.01)
    assert found["parameters"] == pytest.approx(11.18e6, rel=0.01)
    assert (found["dimensions"], found["bytes"]) == (512, 2048)
    assert (found["patches"], found["patches_per_second"], found["peak_mib"]) == (200, 40.0, 300.0)
    assert found["joules"] == 50.0


def test_energy_that_one_job_could_not_read_is_not_known(tmp_path: Path, statistics: Path):
    found = measured(tmp_path, statistics, None, kind="rcf", features=64, pca=10, store="int8")
    assert found["joules"] is None
    assert (found["dimensions"], found["bytes"]) == (10, 10)
    assert found["flop"] == 2 * 32 * 2 * 9 * 118 * 118


def test_energy_is_read_from_the_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(energy, "RAPL", tmp_path)
    assert energy.joules("cpu") is None
    for number, count in ((0, 5_000_000), (1, 7_000_000)):
        (tmp_path / f"intel-rapl:{number}").mkdir()
        (tmp_path / f"intel-rapl:{number}/energy_uj").write_text(f"{count}\n")
    assert energy.joules("cpu") == 12.0
    (tmp_path / "intel-rapl:0/energy_uj").unlink()
    assert energy.joules("cpu") is None


def test_the_figure_takes_the_probe_that_val_likes_best(tmp_path: Path, statistics: Path):
    measured(tmp_path, statistics, None, kind="rcf", features=64)
    paths = []
    for number, (score, val) in enumerate(((0.3, 0.2), (0.5, 0.6), (0.2, 0.3), (0.4, 0.1))):
        features = {"archive": "x", "simulated": False, "weights": "random:0", "model": "m", "kind": "k"}
        paths.append(tmp_path / f"m{number}.json")
        sure = {"intervals": {"map_macro": [score - 0.02, score + 0.01]}}
        scores = {"test": {"map_macro": score}, "val": {"map_macro": val}}
        test = {"task": "multilabel", "classes": ["a", "b"], **scores, **sure}
        paths[-1].write_text(json.dumps({**test, "features": features}))
    figure.run(
        costs=[tmp_path / "cost.json"] * 2,
        metrics=paths,
        features=["a", "a", "b", "b"],
        probes=["linear", "knn", "linear", "knn"],
        csv=tmp_path / "c.csv",
        md=tmp_path / "c.md",
        images=[tmp_path / "c.png"],
    )
    lines = [line for line in (tmp_path / "c.md").read_text().splitlines() if line.startswith("| a") or "| b" in line]
    assert [[c.strip() for c in line.split("|")][3:5] for line in lines if "mAP" not in line] == [
        ["knn", "50.0 [48.0, 51.0]"],
        ["linear", "20.0 [18.0, 21.0]"],
    ]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_names_of_sets_that_cost_and_score_alike_do_not_cover_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = [",".join(figure.COLUMNS)]
    for number in range(6):
        score, rate = 0.5 + number / 1000, 100 + number
        sure = f"{score},{score - 0.01},{score + 0.01}"
        rows.append(
            f"features_{number},m,random weights (seed 0),knn,1,map_macro,{sure},1,1,{rate},1,,1,cpu,2,archive x"
        )
    (tmp_path / "c.csv").write_text("\n".join(rows))
    drawn: list[Any] = []
    monkeypatch.setattr(figure, "save", lambda made, outputs: drawn.append(made))
    figure.draw(tmp_path / "c.csv", [])
    texts = [text for text in drawn[0].axes[0].texts if text.get_text().startswith("features_")]
    assert len(texts) == 6
    boxes = [text.get_window_extent() for text in texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
