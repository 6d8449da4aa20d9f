"""The parts of the benchmarks that are not measurements."""

import csv
import itertools
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from earthprobe.storage.files import read_csv

from bench import gpu, growth, page, real_patches, rehearsal
from bench.__main__ import COLUMNS, SHOWN, format_row, main, shown
from bench.measure import ROWS
from bench.tools import Load, Pairs, Row
from tests.conftest import V1_SAMPLE


def test_a_ratio_above_one_says_that_ours_is_better():
    rate = Row(20.0, 5.0, "patches/s", 25.0).columns("embed_cpu")
    assert (rate["ratio"], rate["share_of_limit"]) == (4.0, 0.8)
    time = Row(2.0, 10.0, "s", 1.0, less_is_better=True).columns("linear")
    assert (time["ratio"], time["share_of_limit"]) == (5.0, 0.5)
    assert Row(2.0, None, "s").columns("dag")["ratio"] is None


def test_ratios_are_of_pairs_and_their_median_counts(monkeypatch: pytest.MonkeyPatch):
    """In the second turn the machine is slow for both, in the third for one."""
    clock = iter([0, 1, 1, 3, 10, 20, 20, 40, 50, 51, 51, 58])
    monkeypatch.setattr("bench.tools.time.perf_counter", lambda: next(clock))
    pairs = Pairs(lambda: "ours", lambda: "other")
    assert (pairs.ours, pairs.other) == ([1, 10, 1], [2, 20, 7])
    row = pairs.rate(100, "patches/s", 200).columns("x")
    assert (row["ours"], row["other"], row["ratio"], row["ratios"]) == (100, pytest.approx(100 / 7), 2, "2 to 7")
    assert row["share_of_limit"] == 0.5
    assert pairs.seconds().columns("x")["ratio"] == 2
    fewer = pairs.rate(100, "patches/s", count_of_other=50)
    assert (fewer.columns("x")["other"], fewer.columns("x")["ratio"]) == (
        pytest.approx(50 / 7),
        4,
    )  # 100 a second beside 25
    assert (pairs.result, pairs.expected) == ("ours", "other")


def test_the_load_of_others_is_what_is_not_ours(monkeypatch: pytest.MonkeyPatch):
    """100 s of 2 cores: 120 s at work, 80 s of them ours."""
    moments = iter([(0.0, 50.0, 10.0), (100.0, 170.0, 90.0), (100.0, 170.0, 90.0)])
    monkeypatch.setattr(Load, "_now", lambda self: next(moments))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    load = Load()
    assert load.others() == pytest.approx(0.2)
    assert load.said() == "20 %: too much"


def test_the_table_has_the_columns_and_says_what_cannot_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["bench", "embed_gpu", "--output", str(tmp_path / "bench.csv")])
    (tmp_path / "bench.csv").write_text("name,ours\nlinear,5\nembed_gpu,1\n")  # of an earlier run
    main()
    with (tmp_path / "bench.csv").open() as file:
        kept, row = csv.DictReader(file)
    assert (kept["name"], kept["ours"], kept["day"]) == ("linear", "5", "")
    assert tuple(row) == COLUMNS == (*SHOWN, "machine", "day")
    assert SHOWN == ("name", "ours", "other", "unit", "ratio", "ratios", "limit", "share_of_limit", "others_at_work")
    assert "cores of" in row["machine"]
    assert row["name"] == "embed_gpu"
    printed = capsys.readouterr().out
    assert "cores of" in printed
    if row["ratio"] == "":
        assert row["ours"] == "not measured: no GPU"
        assert "not measured: no GPU" in printed


def test_every_row_that_the_table_promises_is_there():
    wanted = [
        "embed_cpu",
        "embed_gpu",
        "shard",
        "merge",
        "random_forest_43",
        "linear",
        "mlp",
        "umap",
        "dag_64",
        "dag_1024",
    ]
    assert set(wanted) <= set(ROWS)


def test_the_page_has_what_was_measured():
    assert sorted(one.name for table in page.TABLES.values() for one in table) == sorted(ROWS)
    rows = {row["name"]: row for row in read_csv(page.KEPT)}
    assert set(rows) <= set(ROWS)
    text = page.PAGE.read_text()
    assert page.filled(text, rows) == text
    assert set(re.findall("<!-- bench: (.*) -->", text)) == {"machines", *page.TABLES}


def test_a_row_of_the_page_says_what_ours_is_held_against():
    about = [
        page.About("a", "reading", "slowly", "at best"),
        page.About("b", "waiting", limit=page.GOAL),
        page.About("c", "holding", limit="of half", share=False),
        page.About("d", "flying"),
        page.About("e", "nothing"),
    ]
    names = ("ours", "other", "unit", "ratio", "ratios", "limit", "share_of_limit", "machine")
    rows = {
        "a": ("45881", "1435", "x/s", "32", "30 to 34", "65459", "0.701", "one"),
        "b": ("54.4", "", "s", "", "", "60", "1.1", "one"),
        "c": ("324", "", "MiB", "", "", "323", "0.997", "other"),
        "d": ("not measured: no wings", "", "x/s", "", "", "", "", "one"),
    }
    known = {name: dict(zip(names, row, strict=True)) for name, row in rows.items()}
    assert page.lines(about, known, ["one", "other"])[2:] == [
        "`a` | reading | 45,881 x/s | slowly: 1,435 | 32 (30 to 34) | at best: 65,459 (70 %) | A",
        "`b` | waiting | 54.4 s |  |  | goal 60: met | A",
        "`c` | holding | 324 MiB |  |  | of half: 323 | B",
        "`d` | flying | not measured: no wings |  |  |  | A",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0.12345, "0.123"), (12345.6, "12346"), ("x", "x"), (7.0, "7")]
)
def test_figures_are_short(value: object, text: str):
    assert shown(value) == text
    assert format_row((text, *[""] * 8)).strip() == text


def test_a_rehearsal_has_the_official_names_and_real_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if not V1_SAMPLE.exists():
        pytest.skip(f"{V1_SAMPLE} is not here")
    monkeypatch.setattr(rehearsal, "SHARDS", 2)
    results = tmp_path / "rehearsal-1"
    count = rehearsal.prepare(V1_SAMPLE.parent, 1, results)
    assert abs(count - 5193) < 250  # one percent of 519,284, by a hash
    assert rehearsal.prepare(V1_SAMPLE.parent, 1, results) == count
    index = pl.read_parquet(results / "index.parquet")
    assert dict(index["split"].value_counts().iter_rows()).keys() == {"train", "val", "test"}
    stored = [pq.read_table(results / f"features/synthetic/{n:04d}.parquet") for n in range(2)]
    assert sorted(i for t in stored for i in t["patch_id"].to_pylist()) == index["patch_id"].to_list()
    vectors = np.concatenate([t["embedding"].combine_chunks().flatten().to_numpy() for t in stored])
    assert np.isfinite(vectors).all()
    known = pl.read_parquet(V1_SAMPLE.parent / "reben-metadata/metadata.parquet", columns=["s1_name", "labels"])
    joined = index.join(known, left_on="patch_id", right_on="s1_name")
    assert len(joined) > 4000
    from earthprobe.archives.bigearthnet import CLASSES_19

    for row in joined.head(50).iter_rows(named=True):
        assert [CLASSES_19[i] for i in row["labels_19"]] == sorted(row["labels"], key=CLASSES_19.index)


def test_growth_reads_what_the_logs_say(tmp_path: Path):
    for share, seconds in ((10, 4.0), (100, 41.5)):
        results = tmp_path / f"rehearsal-{share}"
        log = results / "logs/train/synthetic/43/mlp.log"
        log.parent.mkdir(parents=True)
        log.write_text(
            f"10:00:00 INFO done in {seconds} s, {2 * seconds} s of CPU time, peak memory {share * 10} MiB\n"
        )
        (results / "logs/merge").mkdir()
        (results / "logs/merge/synthetic.log").write_text("no such line")
        (results / "prepared").write_text(str(share * 5000))
    rows = [row for share in (10, 100) for row in rehearsal.measured(tmp_path / f"rehearsal-{share}", share)]
    assert rows == [
        ("train", "synthetic 43 mlp", 10, 50000, 4.0, 8.0, 100.0),
        ("train", "synthetic 43 mlp", 100, 500000, 41.5, 83.0, 1000.0),
    ]
    path = tmp_path / "rehearsal.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in [rehearsal.STEPS, *rows]))
    steps = growth.read(path)
    assert "MLP, 43 classes | 4 s, 8 s CPU, 0.1 GiB | 42 s, 83 s CPU, 1.0 GiB" in growth.markdown(steps)
    growth.draw(steps, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_labels_of_a_figure_do_not_touch():
    heights = growth.spread([1.0, 1.1, 50.0, 95.0, 99.0, 100.0], (1.0, 100.0))
    assert heights == sorted(heights)
    assert min(b / a for a, b in itertools.pairwise(heights)) > 1.3
    assert max(heights) <= 100


def test_patches_of_a_scene_lie_in_one_split():
    rows = [{"scene": f"s{i % 20}"} for i in range(100)]
    splits = real_patches.split_by_scene(rows, 0)
    assert splits.keys() == {f"s{i}" for i in range(20)}
    counts = {name: sum(splits[row["scene"]] == name for row in rows) for name in real_patches.SHARES}
    assert counts == {"train": 50, "validation": 15, "test": 35}
    assert splits == real_patches.split_by_scene(rows, 0) != real_patches.split_by_scene(rows, 1)


def test_a_machine_without_a_gpu_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench.gpu"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "no GPU is seen" in capsys.readouterr().err
    assert [(case.entry["model"], len(case.entry["bands"])) for case in gpu.cases()] == [
        *(("dofa_base_patch16_224", bands) for bands in (2, 12, 14)),
        ("dofa_large_patch16_224", 2),
        ("resnet50", 2),
    ]
