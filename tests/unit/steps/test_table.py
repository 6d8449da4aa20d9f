import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from earthprobe.evaluation.metrics import METRICS, MORE_OF, SINGLE
from earthprobe.registry import PACKAGE
from earthprobe.steps import table
from earthprobe.steps.table import columns_of
from earthprobe.table_notes import leaves

COLUMNS = columns_of("multilabel")

PUBLISHED = PACKAGE / "resources/published_results.csv"


def metrics(
    path: Path, value: float, weights: str = "random:0", simulated: bool = True, classes: int = 19, **origin: Any
) -> Path:
    test: dict[str, Any] = {metric.name: value + i / 100 for i, metric in enumerate(METRICS)}
    test |= {"patches": 100, "classes_without_positive": 3}
    features = {"archive": "demo", "simulated": simulated, "weights": weights, "model": "dofa_base_patch16_224"}
    features |= {"bands": ["VV", "VH"], "wavelengths": [3.75, 3.75], "precision": "bfloat16", "device": "cpu"}
    features |= {"earthprobe_version": "0.1.0", "torch_version": "2.15", "torchgeo_version": "0.8"}
    features = {key: value for key, value in (features | origin).items() if value is not None}
    content = {"test": test, "threshold": 0.5, "features": features, "patches": {"train": 200}}
    test |= {metric.name: value for metric in MORE_OF["multilabel"]}
    known = (*METRICS, *MORE_OF["multilabel"])
    ends = {metric.name: [test[metric.name] - 0.01, test[metric.name] + 0.02] for metric in known}
    content |= {"tuned": {"temperature": 1.5, "threshold_global": 0.3, "thresholds_per_class": [], "fits": 1}}
    content |= {"intervals": ends, "patch_intervals": ends}
    content |= {"intervals_by": {"level": 0.95, "draws": 1000, "cluster": "tile", "clusters": 30, "repeats": 1}}
    content |= {"task": "multilabel", "classes": [str(n) for n in range(classes)], "classes_left_out": {}}
    path.write_text(json.dumps(content))
    return path


def run(folder: Path, label_set: str = "19", **options: Any) -> tuple[list[dict[str, str]], str]:
    options["classes"] = int(label_set)
    table.run(
        metrics=[metrics(folder / "a.json", 0.123, **options), metrics(folder / "b.json", 0.456, **options)],
        features=["dofa", "dofa"],
        probes=["linear", "mlp"],
        published=PUBLISHED,
        label_set=label_set,
        csv=folder / "t.csv",
        md=folder / "t.md",
        html=folder / "t.html",
    )
    with (folder / "t.csv").open(newline="") as stream:
        return list(csv.DictReader(stream)), (folder / "t.md").read_text()


def test_columns_begin_with_the_studys_in_its_order(tmp_path: Path):
    run(tmp_path)
    header = (tmp_path / "t.csv").read_text().splitlines()[0].split(",")
    assert header[:7] == [
        "features",
        "probe",
        "f2_macro",
        "f2_micro",
        "hamming_loss",
        "precision_macro",
        "precision_micro",
    ]
    assert tuple(header) == COLUMNS
    row = (tmp_path / "t.csv").read_text().splitlines()[1].split(",")
    assert [float(v) for v in row[2:7]] == pytest.approx([0.123, 0.133, 0.143, 0.153, 0.163])


@pytest.mark.parametrize(("label_set", "theirs"), [("19", 15), ("43", 4)])
def test_published_rows_stand_below_and_are_marked(tmp_path: Path, label_set: str, theirs: int):
    rows, text = run(tmp_path, label_set)
    assert [r["probe"] for r in rows[:2]] == ["linear", "mlp"]
    assert [r["source"] for r in rows[:2]] == ["this run"] * 2
    assert len(rows) == 2 + theirs
    assert all(r["source"].startswith("published: ") for r in rows[2:])
    assert text.count("| this run") == 2
    assert text.count("| published: ") == theirs


def test_published_figures_are_the_studys(tmp_path: Path):
    rows, _ = run(tmp_path, "43")
    study = {r["probe"]: r for r in rows if "HTCV 2024" in r["source"]}
    assert float(study["MLP"]["f2_macro"]) == 0.1545
    assert float(study["random forest"]["hamming_loss"]) == 0.056
    assert study["MLP"]["map_macro"] == ""


def test_published_figures_stand_in_a_table_with_the_digits_of_their_source(tmp_path: Path):
    _, text = run(tmp_path, "43")
    study = [line for line in text.splitlines() if "HTCV 2024" in line]
    cells = [[cell.strip() for cell in line.strip("|").split("|")][2:7] for line in study]
    assert cells == [
        ["9.46", "33.73", "0.056", "24", "71"],
        ["12.63", "36.54", "0.057", "28", "66"],
        ["15.45", "44.46", "0.052", "38", "71"],
    ]
    _, text = run(tmp_path)
    assert "| linear, refit on train and val " in text
    assert re.search(r"\| linear, mean of batches of 64 .*\| +70.5 \|.* published: Copernicus-Bench", text)


def test_markdown_is_in_percent_and_says_what_it_is(tmp_path: Path):
    _, text = run(tmp_path)
    assert "Random weights: the model was never trained" in text
    assert "Simulated archive" in text
    assert "3 of the 19 classes have no positive in the test split" in text
    assert "random weights (seed 0)" in text
    assert "dofa: dofa_base_patch16_224, bands VV VH, wavelengths 3.75 3.75, bfloat16 on cpu; earthprobe 0.1.0" in text
    row = next(line for line in text.splitlines() if "| linear" in line and "this run" in line)
    cells = [c.strip() for c in row.strip("|").split("|")]
    assert cells[2:11] == [
        *("12.3 [11.3, 14.3]", "13.3 [12.3, 15.3]", "0.143 [0.133, 0.163]", "15.3 [14.3, 17.3]", "16.3 [15.3, 18.3]"),
        *("17.3 [16.3, 19.3]", "18.3 [17.3, 20.3]", "19.3 [18.3, 21.3]", "20.3 [19.3, 22.3]"),
    ]
    header = next(line for line in text.splitlines() if line.startswith("| features"))
    assert [c.strip() for c in header.strip("|").split("|")][2:7] == [
        "F2 macro %",
        "F2 micro %",
        "hamming loss",
        "P macro %",
        "P micro %",
    ]
    for part in text.split("## "):  # grids line up
        assert len({len(line) for line in part.splitlines() if line.startswith("|")}) == 1


def test_real_data_and_weights_carry_no_warning(tmp_path: Path):
    rows, text = run(tmp_path, weights="DOFA_MAE", simulated=False)
    assert "imulated" not in text
    assert "never trained" not in text
    assert rows[0]["weights"] == "DOFA_MAE"


def test_html_holds_the_same_table(tmp_path: Path):
    _, text = run(tmp_path)
    html = (tmp_path / "t.html").read_text()
    assert "<strong>Random weights: the model was never trained.</strong>" in html
    tables = 4  # a grid has a line below its heading that a page has not
    assert html.count("<tr") == sum(line.startswith("|") for line in text.splitlines()) - tables
    assert html.count("<table") == tables
    assert html.count("<tr class=published>") == 15
    assert "<td>12.3 [11.3,\u00a014.3]</td><td>13.3 [12.3,\u00a015.3]</td>" in html, "an interval stays on one line"
    assert "Sumbul &amp; Demir" not in html
    run(tmp_path, "43")
    assert "Sumbul &amp; Demir" in (tmp_path / "t.html").read_text()


def test_a_model_without_weights_is_named_by_its_kind(tmp_path: Path):
    rows, text = run(tmp_path, weights="", model="", kind="statistics", wavelengths=None)
    assert rows[0]["weights"] == "no weights"
    assert "never trained" not in text
    assert "dofa: statistics, bands VV VH, bfloat16 on cpu; earthprobe 0.1.0" in text


def test_published_rows_have_the_metrics_of_ours():
    with PUBLISHED.open(newline="") as stream:
        header = next(csv.reader(stream))
    known = [metric.name for metric in METRICS]
    assert header[:5] == ["label_set", "reference", "data", "features", "probe"]
    assert set(header[5:]) == {*known, "accuracy"}
    assert "accuracy" in {metric.name for metric in SINGLE}


def test_the_gain_over_pixels_is_against_the_best_control_of_the_same_bands_and_probe(tmp_path: Path):
    kinds = [
        ("galileo", "a", 0.5, {"kind": "galileo", "model": "nano", "weights": "encoder.pt"}),
        ("galileo", "b", 0.4, {"kind": "galileo", "model": "nano", "weights": "encoder.pt"}),
        ("pixels", "a", 0.2, {"kind": "statistics", "model": "", "weights": ""}),
        ("texture", "a", 0.3, {"kind": "rcf", "model": "", "weights": "", "bands": ["VH", "VV"]}),
        ("optical", "a", 0.9, {"kind": "rcf", "model": "", "weights": "", "bands": ["B02"]}),
        ("untrained", "a", 0.1, {"kind": "galileo", "model": "nano", "weights": "random:0"}),
        ("place", "a", 0.1, {"kind": "location", "model": "", "weights": "", "bands": []}),
    ]
    paths = [metrics(tmp_path / f"{i}.json", value, **origin) for i, (_, _, value, origin) in enumerate(kinds)]
    table.run(
        metrics=paths,
        features=[name for name, *_ in kinds],
        probes=[probe for _, probe, *_ in kinds],
        published=PUBLISHED,
        label_set="19",
        csv=tmp_path / "t.csv",
        md=tmp_path / "t.md",
        html=tmp_path / "t.html",
    )
    with (tmp_path / "t.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))[: len(kinds)]
    gains = [row["gain_over_pixels"] for row in rows]
    assert float(gains[0]) == pytest.approx(0.2)
    assert float(gains[5]) == pytest.approx(-0.2)
    assert [gains[i] for i in (1, 2, 3, 4, 6)] == [""] * 5
    text = (tmp_path / "t.md").read_text()
    assert "Random weights: untrained was never trained." in text
    assert "| gain over pixels |" in text
    assert re.search(r"\| galileo, encoder.pt .*\| +\+20.0 \| this run", text)
    assert "galileo: galileo nano, bands VV VH" in text
    assert "place: location, no pixels" in text
    assert "+20.0" in (tmp_path / "t.html").read_text()


def test_controls_stand_below_ours_and_say_what_they_are(tmp_path: Path):
    control = metrics(tmp_path / "c.json", 0.3, weights="", kind="control", model=None, bands=[])
    unknown = metrics(tmp_path / "u.json", 0.2, weights="", kind="control", model=None, bands=[])
    for path, known in ((control, True), (unknown, False)):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "control": {"says": "the share of each class", "known": known}}))
    compared = [("dofa/linear", "dofa/mlp", "map_macro", 0), ("dofa/linear", "control/prior", "map_macro", 1)]
    (tmp_path / "comparison.csv").write_text(
        "row,other,metric,told_apart\n" + "".join(f"{','.join(map(str, line))}\n" for line in compared)
    )
    table.run(
        metrics=[metrics(tmp_path / "a.json", 0.5), metrics(tmp_path / "b.json", 0.4), control, unknown],
        features=["dofa", "dofa", "control", "control"],
        probes=["linear", "mlp", "prior", "country"],
        published=PUBLISHED,
        comparison=tmp_path / "comparison.csv",
        label_set="19",
        csv=tmp_path / "t.csv",
        md=tmp_path / "t.md",
        html=tmp_path / "t.html",
    )
    with (tmp_path / "t.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] == "this run"]
    assert [(row["features"], row["probe"]) for row in rows] == [
        ("dofa", "linear"),
        ("dofa", "mlp"),
        ("control", "prior"),
    ]
    assert [row["tied_with_best"] for row in rows] == ["1", "1", "0"]
    assert (rows[0]["clusters"], rows[0]["cluster"]) == ("30", "tile")
    text = (tmp_path / "t.md").read_text()
    assert "Control prior: the share of each class." in text
    assert "57.0° [56.0, 59.0]" in text
    assert "°: the best row by mAP macro, dofa/linear, and those that cannot be told apart from it" in text
    assert "1,000 draws of the 30 tiles of the test patches" in text
    assert "never trained" in text


def test_what_lies_at_a_limit_is_said(tmp_path: Path):
    paths = [metrics(tmp_path / f"{name}.json", 0.5) for name in "ab"]
    for path in paths:
        path.write_text(json.dumps({**json.loads(path.read_text()), "limits": ["took the weakest penalty"]}))
    table.run(
        metrics=[*paths, metrics(tmp_path / "c.json", 0.4)],
        features=["dofa", "pixels", "dofa"],
        probes=["linear", "linear", "mlp"],
        published=PUBLISHED,
        label_set="19",
        csv=tmp_path / "t.csv",
        md=tmp_path / "t.md",
        html=tmp_path / "t.html",
    )
    assert "At a limit: dofa/linear, pixels/linear took the weakest penalty." in (tmp_path / "t.md").read_text()
    with (tmp_path / "t.csv").open(newline="") as stream:
        found = [row["limits"] for row in csv.DictReader(stream) if row["source"] == "this run"]
    assert found == ["took the weakest penalty", "took the weakest penalty", ""]


def test_bands_that_dofa_adds_up_are_said(tmp_path: Path):
    _, text = run(tmp_path, kind="dofa")
    assert "dofa: VV and VH have one wavelength, so that DOFA sees their sum alone" in text
    _, text = run(tmp_path, kind="dofa", combine="concat")
    assert "their sum alone" not in text


def test_the_leaves_of_forests_are_named():
    forests = [("a", "small", {"probe": {"min_samples_leaf": 1}}), ("b", "large", {"probe": {"min_samples_leaf": 5}})]
    others = [("a", "linear", {"probe": {"kind": "linear"}}), ("a", "small", {"probe": {"min_samples_leaf": 1}})]
    assert leaves([*forests, *others]) == ["Fewest train patches of a leaf: small 1, large 5."]
    assert leaves(others[:1]) == []
