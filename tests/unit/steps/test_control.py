"""Controls through the steps: their scores, intervals and comparisons."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.evaluation.metrics import METRICS_OF, MORE_OF, overall
from earthprobe.figures import buffer as figure
from earthprobe.steps import compare, control, evaluate
from earthprobe.storage.parquet import read_metadata, with_metadata
from earthprobe.storage.scores import Scores, of_test, read_scores, write_scores

CLASSES = ["a", "b", "c"]
SIZE = 240


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """An index of 240 patches in 24 tiles; the class of a patch hangs on its tile."""
    rng = np.random.default_rng(0)
    tile = np.arange(SIZE) % 24
    labels = [[int(t % 3)] if rng.random() < 0.8 else [int(rng.integers(3))] for t in tile]
    frame = pl.DataFrame(
        {
            "patch_id": [f"p{i:03d}" for i in range(SIZE)],
            "split": [("train", "train", "val", "test")[i // 24 % 4] for i in range(SIZE)],
            "group": [f"g{i}" for i in range(SIZE)],
            "tile": [f"t{t:02d}" for t in tile],
            "column": pl.Series([i // 24 for i in range(SIZE)], dtype=pl.Int16),
            "row": pl.Series([0] * SIZE, dtype=pl.Int16),
            "country": pl.Series([None] * SIZE, dtype=pl.String),
            "month": pl.Series([None] * SIZE, dtype=pl.Int8),
            "longitude": pl.Series([None] * SIZE, dtype=pl.Float64),
            "latitude": pl.Series([None] * SIZE, dtype=pl.Float64),
            "cells_to_test": pl.Series([float(i % 5) for i in range(SIZE)], dtype=pl.Float32),
        }
    ).with_columns(labels_own=pl.Series(labels, dtype=pl.List(pl.UInt8)))
    return written(frame, tmp_path / "index.parquet", folds=None)


def written(frame: pl.DataFrame, path: Path, folds: dict[str, int] | None) -> Path:
    said = {"archive": "x", "simulated": False, "classes": {"own": CLASSES}, "tasks": {"own": "multilabel"}}
    arrow = frame.to_arrow()
    metadata = {**said, "classes_left_out": {}, "rejected": [], "folds": folds}
    pq.write_table(arrow.cast(with_metadata(arrow.schema, metadata)), path)
    return path


def controls(index: Path, *names: str, buffer: float = 0) -> dict[str, Path]:
    paths = {name: index.with_name(f"{name}.parquet") for name in names}
    control.run(controls=names, index=index, label_set="own", buffer=buffer, scores=list(paths.values()))
    return paths


def evaluated(index: Path, paths: dict[str, Path]) -> dict[str, dict[str, Any]]:
    files = {
        kind: [path.with_suffix(f".{kind}") for path in paths.values()] for kind in ("json", "csv", "draws", "bins")
    }
    evaluate.run(
        scores=list(paths.values()),
        index=index,
        threshold=0.5,
        draws=300,
        metrics=files["json"],
        per_class=files["csv"],
        drawn=files["draws"],
        calibration=files["bins"],
    )
    return {name: json.loads(path.read_text()) for name, path in zip(paths, files["json"], strict=True)}


def test_a_control_is_scored_as_a_probe_is(index: Path):
    paths = controls(index, "prior", "tile", "country")
    scored = read_scores(paths["tile"])
    table = pl.read_parquet(index)
    wanted = table.filter(pl.col("split") == "val")["patch_id"].to_list()
    wanted += table.filter(pl.col("split") == "test")["patch_id"].to_list()
    assert scored.ids == wanted
    here = table.filter((pl.col("tile") == "t04") & (pl.col("split") == "train"))
    train = table.filter(pl.col("split") == "train")
    usual = np.array([sum(c in row for row in train["labels_own"]) / train.height for c in range(3)])
    counts = np.array([sum(c in row for row in here["labels_own"]) for c in range(3)])
    row = scored.ids.index(table.filter((pl.col("tile") == "t04") & (pl.col("split") == "test"))["patch_id"][0])
    np.testing.assert_allclose(scored.scores[row], (counts + 5 * usual) / (here.height + 5), rtol=1e-6)
    said = read_metadata(paths["country"])
    assert said["control"] == {
        "says": "the share of each class in the train patches of the same country",
        "known": False,
    }
    assert read_metadata(paths["tile"])["control"]["known"]
    assert said["patches"] == {"train": 144, "val": 48, "test": 48}
    results = evaluated(index, paths)
    assert results["tile"]["intervals_by"]["cluster"] == "tile"
    assert results["tile"]["test"]["map_macro"] > results["prior"]["test"]["map_macro"]


def test_train_patches_near_test_are_left_out(index: Path):
    paths = controls(index, "prior", buffer=2)
    table = pl.read_parquet(index)
    kept = table.filter((pl.col("split") == "train") & (pl.col("cells_to_test") > 2))
    assert read_metadata(paths["prior"])["patches"]["train"] == kept.height
    shares = [sum(c in row for row in kept["labels_own"]) / kept.height for c in range(3)]
    np.testing.assert_allclose(read_scores(paths["prior"]).scores[0], shares, rtol=1e-6)


def test_a_buffer_that_leaves_no_train_patch_is_said(index: Path):
    with pytest.raises(UserError, match="no train patch is further than 9 cells from all of test: give less"):
        controls(index, "prior", buffer=9)


def test_of_folds_a_control_has_not_seen_what_it_scores(index: Path, tmp_path: Path):
    folds = pl.Series([[i % 4, i // 60] for i in range(SIZE)], dtype=pl.List(pl.UInt8))
    frame = pl.read_parquet(index).with_columns(split=pl.lit("train"), folds=folds)
    path = written(frame, tmp_path / "folds.parquet", {"folds": 4, "repeats": 2, "seed": 0})
    scored = read_scores(controls(path, "prior")["prior"])
    assert len(scored.ids) == 4 * SIZE
    labels = frame["labels_own"].to_list()
    # Patch 0 is in fold 0 of the first repeat; fold 1 chooses, so that 2 and 3 train.
    trained = [row for i, row in enumerate(labels) if i % 4 in (2, 3)]
    np.testing.assert_allclose(
        scored.scores[0], [sum(c in row for row in trained) / len(trained) for c in range(3)], rtol=1e-6
    )
    assert of_test(scored).scores.shape == (2, SIZE, 3)
    assert evaluated(path, {"prior": path.with_name("prior.parquet")})["prior"]["intervals_by"]["repeats"] == 2


# Comparisons ----------------------------------------------------------------------------------------------------------


def probe(index: Path, name: str, skill: float, patches: slice = slice(None), seed: int = 0) -> Path:
    """The scores of a probe with some skill, on some of the test patches."""
    table = pl.read_parquet(index).filter(pl.col("split") == "test")[patches]
    rng = np.random.default_rng(seed)
    targets = np.array([[c in row for c in range(3)] for row in table["labels_own"]])
    scores = (skill * targets + rng.random(targets.shape)).astype(np.float32) / (1 + skill)
    metadata = {"classes": CLASSES, "task": "multilabel", "classes_left_out": {}, "patches": {"train": 1}}
    metadata |= {"features": {"archive": "x", "simulated": False, "weights": "w", "kind": "x"}}
    path = index.with_name(f"{name}.parquet")
    # Of val a row alone, since no figure of it is asked here.
    ids, splits = [*table["patch_id"], "v"], ["test"] * table.height + ["val"]
    extra = np.array([[True, False, False]])
    scored = Scores(ids, splits, np.concatenate([scores, extra.astype(np.float32)]), np.concatenate([targets, extra]))
    write_scores(path, scored, metadata)
    return path


def compared(index: Path, paths: dict[str, Path], pairs: str = '"best"') -> tuple[pl.DataFrame, str]:
    evaluated(index, paths)
    out = index.with_name("comparison")
    compare.run(
        rows=[f"control/{name}" if name == "prior" else f"f/{name}" for name in paths],
        metrics=[path.with_suffix(".json") for path in paths.values()],
        scores=list(paths.values()),
        drawn=[path.with_suffix(".draws") for path in paths.values()],
        index=index,
        pairs=pairs,
        csv=out.with_suffix(".csv"),
        md=out.with_suffix(".md"),
    )
    return pl.read_csv(out.with_suffix(".csv")), out.with_suffix(".md").read_text()


def test_the_best_row_is_compared_with_all_others(index: Path):
    paths = {"weak": probe(index, "weak", 0.2), "good": probe(index, "good", 0.9)}
    paths |= {"twin": probe(index, "twin", 0.9, seed=1), **controls(index, "prior")}
    table, text = compared(index, paths)
    here = table.filter(pl.col("metric") == "map_macro")
    assert here.select("row", "other").rows() == [("f/good", f"f/{n}") for n in ("weak", "twin")] + [
        ("f/good", "control/prior")
    ] or here["row"].unique().to_list() == ["f/twin"]
    assert table.height == 3 * len((*METRICS_OF["multilabel"], *MORE_OF["multilabel"]))
    apart = dict(here.select("other", "told_apart").iter_rows())
    assert apart["f/weak"] == apart["control/prior"] == 1
    assert apart.get("f/twin", apart.get("f/good")) == 0
    assert (here["p_holm"] >= here["p"]).all()
    assert "told apart" in text
    assert "300 draws of tiles" in text


def test_rows_of_other_patches_are_compared_on_those_that_both_have(index: Path):
    paths = {"all": probe(index, "all", 0.9), "half": probe(index, "half", 0.3, slice(0, 30), seed=3)}
    table, _ = compared(index, paths)
    assert table["patches"].unique().to_list() == [30]
    scored = [of_test(read_scores(path)) for path in paths.values()]
    metrics = [overall(test.targets[:30], test.scores[0, :30], 0.5) for test in scored]
    (row,) = table.filter(pl.col("metric") == "f2_macro").iter_rows(named=True)
    assert row["difference"] == pytest.approx(metrics[0]["f2_macro"] - metrics[1]["f2_macro"])
    assert row["low"] < row["difference"] < row["high"]


def test_pairs_by_name_and_all_with_all(index: Path):
    paths = {name: probe(index, name, skill) for name, skill in (("x", 0.3), ("y", 0.5), ("z", 0.7))}
    assert compared(index, paths, '"all"')[0].height == 3 * len((*METRICS_OF["multilabel"], *MORE_OF["multilabel"]))
    table, _ = compared(index, paths, '[["f/x", "f/y"]]')
    assert table.select("row", "other").unique().rows() == [("f/x", "f/y")]
    with pytest.raises(UserError, match=r"config: compare: there is no row f/w: there are f/x, f/y, f/z"):
        compared(index, paths, '[["f/x", "f/w"]]')


def test_a_control_that_knows_nothing_is_not_compared(index: Path):
    paths = {"good": probe(index, "good", 0.9), "prior": controls(index, "country")["country"]}
    assert compared(index, paths)[0].is_empty()


def test_the_figure_of_buffers_has_a_line_a_row(index: Path, tmp_path: Path):
    found: list[tuple[Path, str, float]] = []
    for width in (0.0, 2.0):
        paths = controls(index, "prior", "tile", "country", buffer=width)
        evaluated(index, paths)
        for name, path in paths.items():
            kept = path.with_name(f"{name}-{width}.json")
            kept.write_bytes(path.with_suffix(".json").read_bytes())
            found.append((kept, f"control/{name}", width))
    figure.run(
        metrics=[path for path, *_ in found],
        rows=[row for _, row, _ in found],
        cells=[width for *_, width in found],
        csv=tmp_path / "b.csv",
        images=[tmp_path / "b.png"],
    )
    table = pl.read_csv(tmp_path / "b.csv")
    assert table.select("row", "cells").rows() == [
        ("control/prior", 0.0), ("control/tile", 0.0), ("control/prior", 2.0), ("control/tile", 2.0)
    ]  # fmt: skip
    assert table["train_patches"].to_list() == [144, 144, 57, 57]
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_scores_survive_a_file(tmp_path: Path):
    scored = Scores(["a", "b"], ["val", "test"], np.eye(2, dtype=np.float32), np.eye(2, dtype=bool))
    write_scores(tmp_path / "s.parquet", scored, {"classes": ["x", "y"]})
    again = read_scores(tmp_path / "s.parquet")
    assert (again.ids, again.splits, again.repeats) == (["a", "b"], ["val", "test"], None)
    np.testing.assert_array_equal(again.scores, scored.scores)
    assert of_test(again).ids == ["b"]
    assert pq.read_schema(tmp_path / "s.parquet").field("scores").type == pa.list_(pa.float32(), 2)
