"""Whole runs: the demo of the README, and real patches."""

import csv
import lzma
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from earthprobe.sensors import BANDS, bands_of
from earthprobe.storage.parquet import read_metadata

from tests.archives import both_sensors, pack
from tests.clone import PIXELS, TINY, Clone
from tests.conftest import SHARED, needs
from tests.server import serving


def tables(results: Path, features: str = "pixels") -> dict[int, dict[str, dict[str, str]]]:
    """Our rows of a feature set for each label set, by probe."""
    found = {}
    for label_set in (19, 43):
        with (results / f"tables/classification_{label_set}.csv").open() as stream:
            found[label_set] = {
                row["probe"]: row
                for row in csv.DictReader(stream)
                if row["source"] == "this run" and row["features"] == features
            }
    return found


def test_real_patches_go_all_the_way(clone: Clone, v1_sample: Path):
    config: dict[str, Any] = {
        "archive": {"name": "sample", "kind": "bigearthnet-v1", "root": str(v1_sample), "shards": 3},
        "features": {"pixels": PIXELS},
        "probes": {"linear": {"kind": "linear"}, "knn": {"kind": "knn"}},
    }
    clone.run(config=config)
    results = clone.results("sample")
    index = pl.read_parquet(results / "index.parquet")
    assert dict(index["split"].value_counts().iter_rows()) == {"train": 69, "val": 25, "test": 35}
    vectors = pl.read_parquet(results / "features/pixels.parquet")["embedding"].to_numpy()
    assert vectors.shape == (129, 18)
    assert np.isfinite(vectors).all()
    for rows in tables(results).values():
        assert list(rows) == ["linear", "knn"]
        assert all(row["data"] == "archive sample" for row in rows.values())
    # Some classes are absent: their panels say so instead of failing.
    for kind in ("class_distribution_43", "umap_pixels_43", "confusion_pixels_43_knn"):
        assert (results / f"figures/{kind}.png").read_bytes().startswith(b"\x89PNG")
        assert (results / f"figures/{kind}.csv").stat().st_size > 0
    assert (results / "figures/gallery_pixels_43.jpg").read_bytes().startswith(b"\xff\xd8")
    assert "imulated" not in (results / "tables/classification_19.md").read_text()
    assert (
        "A part of the published archive; nothing that can be compared is off." in (results / "check.html").read_text()
    )


@pytest.fixture(scope="module")
def demo(clone: Clone) -> Path:
    """The demo as `make demo` runs it."""
    clone.run()
    return clone.results("simulated")


def test_the_demos_tables_behave_like_the_studys(demo: Path):
    for label_set, rows in tables(demo, "statistics").items():
        for metric in ("f2_macro", "f2_micro"):
            assert float(rows["mlp"][metric]) >= float(rows["linear"][metric]), (label_set, metric)
        for row in rows.values():
            assert 0.02 < float(row["f2_macro"]) < 0.5
            assert 0.1 < float(row["f2_micro"]) < 0.8
            assert float(row["f2_macro"]) < float(row["f2_micro"])
            assert 0 < float(row["hamming_loss"]) < 0.25


def test_the_demos_pixels_are_like_real_ones(demo: Path):
    assert "its pixels are like those of BigEarthNet v1" in (demo / "check.html").read_text()


def test_the_demo_has_no_perfect_class_and_fails_on_rare_ones(demo: Path):
    for label_set in (19, 43):
        for probe in ("random_forest", "linear", "mlp"):
            table = pl.read_csv(demo / f"probes/dofa_base/{label_set}/{probe}/per_class.csv")
            assert table["f2"].max() < 1
            rare = table.filter(pl.col("support").is_between(1, 7))
            assert rare.height >= 2
            assert rare["f2"].mean() < 0.1
            common = table.filter(pl.col("support") > 40)
            assert common["f2"].mean() > rare["f2"].mean() + 0.1


def test_the_demo_runs_once(clone: Clone, demo: Path):
    assert clone.planned() == {}
    assert "Nothing to be done" in clone.run()


TOPS = {"bigearthnet-v1": "BigEarthNet-S1-v1.0", "reben": "BigEarthNet-S1"}
SAMPLES = {"bigearthnet-v1": SHARED / "bigearthnet-v1-sample", "reben": SHARED / "reben-sample"}


@pytest.mark.parametrize(("kind", "suffix"), [("bigearthnet-v1", ".tar.gz"), ("reben", ".tar")])
def test_packed_patches_become_shards_and_nothing_runs_for_nothing(
    clone: Clone, module: Any, tmp_path: Path, kind: str, suffix: str
):
    sample, top = needs(SAMPLES[kind]), TOPS[kind]
    for path in [*sample.glob("*.csv"), *sample.glob("*.parquet")]:
        shutil.copy(path, tmp_path)
    pack(sample / top, tmp_path / f"{top}{suffix}")
    config: dict[str, Any] = TINY | {
        "archive": {"name": f"packed{suffix.replace('.', '-')}", "kind": kind, "root": str(tmp_path), "shards": 2},
        "label_sets": [19],
    }
    clone.run("index", "shards", config=config)
    results = clone.results(config["archive"]["name"])
    shards = pl.concat(pl.read_parquet(path, columns=["patch_id"]) for path in (results / "shards/s1").iterdir())
    assert shards.height == pl.read_parquet(results / "index.parquet").height == {"reben": 44}.get(kind, 129)
    assert (results / "rejected.csv").read_text().count("\n") == 1

    def planned() -> dict[str, int]:
        jobs = clone.planned("index", "shards", config=config)
        return {name: count for name, count in jobs.items() if name != "shards"}

    assert planned() == {}
    contents = results / "members/s1/00.contents"
    assert contents.exists() == (suffix != ".tar")
    contents.unlink(missing_ok=True)
    assert planned() == {}, "the contents may be deleted once the shards are made"
    module("archives/reben_labels" if kind == "reben" else "archives/bigearthnet_v1_labels")
    assert planned() == {"index": 1, "rejected": 1}, "labels never touch pixels"
    clone.run("index", "shards", config=config)
    os.utime(tmp_path / f"{top}{suffix}")
    members = "index_members" if suffix == ".tar" else "index_members_compressed"
    assert planned() == {
        members: 1,
        "index_patches": 1,
        "index": 1,
        "shard": 2,
        "shard_statistics": 1,
        "rejected": 1,
    }


def test_sentinel_2_comes_to_a_study_and_runs_nothing_again(clone: Clone, v1_sample: Path, tmp_path: Path):
    """Real patches of both sensors, one unpacked and one not; alone and together through the same model."""
    names = both_sensors(v1_sample, tmp_path)
    absent = next(iter(names))  # of train
    shutil.rmtree(tmp_path / "BigEarthNet-v1.0" / names[absent])
    pack(tmp_path / "BigEarthNet-v1.0", tmp_path / "BigEarthNet-S2-v1.0.tar.gz")
    shutil.rmtree(tmp_path / "BigEarthNet-v1.0")
    model = {"model": "dofa_base_patch16_224", "weights": "random:0", "precision": "float32"}
    config: dict[str, Any] = {
        "archive": {"name": "both", "kind": "bigearthnet-v1", "root": str(tmp_path), "shards": 1},
        "label_sets": [19],
        "features": {"s1": model | {"bands": list(bands_of("s1"))}},
        "probes": {"linear": {"kind": "linear", "strengths": [0.1], "max_iterations": 20}},
    }
    targets = ("tables", "check")  # without figures, of which UMAP's would take most of the time
    clone.run(*targets, config=config)
    s2 = list(bands_of("s2"))
    config["features"] |= {"s2": model | {"bands": s2}, "s1_s2": model | {"bands": ["VV", "VH", *s2]}}
    jobs = clone.planned(config=config)
    of_figures = ("figure", "umap", "explore", "explorer", "sample", "cost")
    figures = {name: jobs.pop(name) for name in list(jobs) if name.split("_")[0] in of_figures}
    assert figures["figure_gallery"] == figures["cost"] == 3
    assert jobs == {
        "index_members_compressed": 1,
        "shard": 1,
        "shard_statistics": 1,
        "rejected": 1,
        "check": 1,
        "embed_weights": 2,
        "embed": 2,
        "merge": 2,
        "neighbors": 2,
        "retrieval": 1,
        "train": 2,
        "evaluate": 2,
        "by_place": 1,
        "compare": 1,
        "doubts": 1,
        "table": 1,
        "manifest": 1,
        "summary": 1,
        "first_page": 1,
        "config": 1,
    }
    clone.run(*targets, config=config)
    assert clone.planned(*targets, config=config) == {}
    mirrored = config | {"archive": config["archive"] | {"mirrors": ["https://example.org/mirror"]}}
    # Another mirror has the same files; only the stored configuration says which it was.
    assert clone.planned(*targets, config=mirrored) == {"config": 1, "manifest": 1, "tables": 1}
    results = clone.results("both")
    for features, bands in (("s1", ["VV", "VH"]), ("s2", s2), ("s1_s2", ["VV", "VH", *s2])):
        table = pl.read_parquet(results / f"features/{features}.parquet")
        assert table["patch_id"].to_list() == sorted(names if features == "s1" else names.keys() - {absent})
        assert np.isfinite(table["embedding"].to_numpy()).all()
        metadata = read_metadata(results / f"features/{features}.parquet")
        assert metadata["bands"] == bands
        assert len(metadata["normalization"]["mean"]) == len(metadata["wavelengths"]) == len(bands)
    with (results / "tables/classification_19.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] == "this run"]
    assert [row["features"] for row in rows if row["features"] != "control"] == ["s1", "s2", "s1_s2"]
    page = (results / "check.html").read_text()
    assert all(f"pixels of {band}" in page for band in BANDS)
    assert "patches without Sentinel-2" in page
    line = f"{absent},train,shard s2,has no Sentinel-2 patch in the archive"
    assert (results / "rejected.csv").read_text().splitlines()[1:] == [line]
    # Without the other sensor, only the names and the labels of its patches are read.
    alone = config | {"features": {"s2": config["features"]["s2"]}}
    alone["archive"] = config["archive"] | {"name": "alone"}
    jobs = clone.planned("shards", "check", config=alone)
    assert jobs.pop("shards") == jobs.pop("shard") == jobs.pop("shard_statistics") == 1
    assert jobs == {
        "index_members_compressed": 1,
        "index_patches": 1,
        "index": 1,
        "rejected": 1,
        "check": 1,
        "config": 1,
    }


def test_a_packed_archive_that_is_damaged_is_one_line(clone: Clone, tmp_path: Path):
    sample = needs(SAMPLES["reben"])
    shutil.copy(sample / "metadata.parquet", tmp_path)
    path = pack(sample / "BigEarthNet-S1", tmp_path / "BigEarthNet-S1.tar.zst")
    path.write_bytes(path.read_bytes()[:-1000])
    config = TINY | {
        "archive": {"name": "damaged", "kind": "reben", "root": str(tmp_path), "shards": 2},
        "label_sets": [19],
    }
    output = clone.fail("shards", config=config)
    assert f"{path} is damaged: Truncated compressed stream; fetch it again" in output
    assert "Traceback" not in output
    assert not [p for p in clone.results("damaged").rglob("*") if p.suffix in (".parquet", ".contents", ".part")]


def test_what_is_missing_is_fetched_and_never_again(clone: Clone, v1_sample: Path, tmp_path: Path):
    """The official split files, from a server on this machine."""
    served, root = tmp_path / "served", tmp_path / "data/new"
    served.mkdir()
    for path in needs(SHARED / "bigearthnet-v1-splits").glob("*.xz"):
        (served / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
    root.mkdir(parents=True)
    (root / "BigEarthNet-S1-v1.0").symlink_to(v1_sample / "BigEarthNet-S1-v1.0")
    with serving(served) as server:
        server.drops = 2
        archive = {"name": "new", "kind": "bigearthnet-v1", "root": str(root), "fetch": True, "mirrors": [server.url]}
        config = TINY | {"archive": archive}
        assert clone.planned("fetch", config=config) == {"fetch": 1, "fetch_file": 3}
        assert clone.planned("index", config=config) == {"fetch_file": 3, "index_patches": 1, "index": 1}
        clone.run("fetch", config=config)
        assert len(server.requests) == 5
    for path in served.iterdir():
        assert (root / path.name).read_bytes() == path.read_bytes()
    assert clone.planned("fetch", config=config) == {"fetch": 1}, "the target alone, which does nothing"
    jobs = clone.planned("index", "--forceall", config=config)
    assert jobs == {"index_patches": 1, "index": 1}, "no rule can delete what is there"
