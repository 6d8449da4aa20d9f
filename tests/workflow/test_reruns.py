"""What a change runs again, and what it does not."""

import copy
import os
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.clone import FEATURES, TINY, Clone

TABLES = {"table": 2}
REJECTED = {"rejected": 1, "check": 1}
ONE_PROBE = {"figure_f2_per_class": 2, "figure_confusion": 2, "figure_gallery": 2}
ALL_PROBES = {"figure_f2_per_class": 2, "figure_confusion": 6, "figure_gallery": 6}
UMAP = {"umap": 1, "figure_umap": 2}
LABELS = {"figure_class_distribution": 2, "figure_label_correlation": 2}


def changed(path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(TINY)
    *parents, key = path.split(".")
    target = config
    for parent in parents:
        target = target[parent]
    target[key] = value
    return config


def test_nothing_changed(clone: Clone):
    assert clone.planned(config=TINY) == {}


def test_a_moved_clone_runs_nothing(clone: Clone):
    moved = clone.folder.with_name("moved")
    clone.folder.rename(moved)
    try:
        elsewhere = object.__new__(Clone)
        elsewhere.folder = moved
        assert elsewhere.planned(config=TINY) == {}
    finally:
        moved.rename(clone.folder)


def test_a_probes_parameter(clone: Clone):
    jobs = clone.planned(config=changed("probes.mlp.hidden", [4]))
    assert jobs == {"train_mlp": 2, "evaluate": 2, **TABLES, **ONE_PROBE, "config": 1}


def test_a_new_probe(clone: Clone):
    jobs = clone.planned(config=changed("probes.linear2", {"kind": "linear"}))
    assert jobs == {"train_linear": 2, "evaluate": 2, **TABLES, **ONE_PROBE, "config": 1}


def test_a_new_feature_set(clone: Clone):
    jobs = clone.planned(config=changed("features.other", {**FEATURES, "wavelengths": [5.405, 5.405]}))
    new = {"embed_weights": 1, "embed": 3, "merge": 1, "train_forest": 2, "train_linear": 2, "train_mlp": 2}
    assert jobs == {**new, "evaluate": 6, **TABLES, **ALL_PROBES, **UMAP, "config": 1}


def test_a_label_set_removed_and_brought_back(clone: Clone):
    assert clone.planned(config=changed("label_sets", [19])) == {"config": 1}
    assert clone.planned(config=changed("label_sets", [19, 43])) == {}


def test_the_threshold(clone: Clone):
    assert clone.planned(config=changed("threshold", 0.4)) == {"evaluate": 6, **TABLES, **ALL_PROBES, "config": 1}


def test_the_order_of_keys(clone: Clone):
    backwards = {key: TINY[key] for key in reversed(TINY)}
    backwards["probes"] = {n: dict(reversed(p.items())) for n, p in TINY["probes"].items()}
    assert clone.planned(config=backwards) == {}


def test_a_deleted_result(clone: Clone):
    path = clone.results() / "probes/dofa/19/mlp/metrics.json"
    content = path.read_bytes()
    stat = path.stat()
    path.unlink()
    try:
        # The table is there and newer: only the default target's own chain is asked for.
        assert clone.planned(str(path.relative_to(clone.folder)), config=TINY) == {"evaluate": 1}
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_deleted_figure(clone: Clone):
    path = clone.results() / "figures/confusion_dofa_19_mlp.png"
    aside = path.rename(path.with_suffix(".aside"))
    try:
        assert clone.planned(config=TINY) == {"figure_confusion": 1}
    finally:
        aside.rename(path)


def test_another_environment(clone: Clone):
    """A newer plotting library is no reason to embed again; versions that matter are in the results' metadata."""
    for path in (clone.folder / "envs").iterdir():
        path.write_text(path.read_text() + "\n# edited\n")
    assert clone.planned(config=TINY) == {}


TRAIN = {"train_forest": 2, "train_linear": 2, "train_mlp": 2, "evaluate": 6, **TABLES, **ALL_PROBES}
EMBED = {"embed": 3, "merge": 1, **TRAIN, **UMAP}
BEHIND_THE_ARCHIVE = {
    "index_patches": 1,
    "index": 1,
    **REJECTED,
    "shard": 3,
    "shard_statistics": 1,
    "explore": 2,
    **LABELS,
    **EMBED,
}
EVERYTHING = {"simulate": 1, **BEHIND_THE_ARCHIVE}


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("simulate", EVERYTHING),
        ("index_patches", BEHIND_THE_ARCHIVE),
        ("bands", EVERYTHING),
        ("tiff", {**EMBED, "shard": 3, "shard_statistics": 1, **REJECTED, "figure_gallery": 6}),
        ("pixels", {**EMBED, "figure_gallery": 6}),
        ("shard", {**EMBED, "shard": 3, "shard_statistics": 1, **REJECTED}),
        ("shard_statistics", {**EMBED, "shard_statistics": 1, **REJECTED}),
        ("embed_weights", {**EMBED, "embed_weights": 1}),
        ("dofa", {**EMBED, "embed_weights": 1}),
        ("download", {**EMBED, "embed_weights": 1}),
        ("fetch", {}),
        ("forward", EMBED),
        ("embeddings", {**TRAIN, **UMAP}),
        ("label_matrix", {**TRAIN, "explore": 2, **LABELS}),
        ("rejected", REJECTED),
        ("check", {"check": 1}),
        ("archive", BEHIND_THE_ARCHIVE),
        ("index_members", {}),  # of tar archives alone
        ("tar", {}),
        ("probes/forest", {"train_forest": 2, "evaluate": 2, **TABLES, **ONE_PROBE}),
        ("probes/linear", {"train_linear": 2, "evaluate": 2, **TABLES, **ONE_PROBE}),
        ("figures/class_distribution", {"figure_class_distribution": 2}),
        ("figures/f2_per_class", {"figure_f2_per_class": 2}),
        ("figures/gallery", {"figure_gallery": 6}),
        ("files", EVERYTHING | {"embed_weights": 1, "config": 1}),
        ("table", TABLES),
        ("figures/confusion", {"figure_confusion": 6}),
        ("figures/label_correlation", {"figure_label_correlation": 2}),
        ("figures/umap", {"figure_umap": 2}),
        ("figures/style", {**LABELS, "figure_umap": 2, **ALL_PROBES}),
        ("explore", {"explore": 2, **LABELS}),
        ("umap", UMAP),
        ("evaluate", {"evaluate": 6, **TABLES, "figure_f2_per_class": 2, "figure_confusion": 6}),
        ("probes/mlp", {"train_mlp": 2, "evaluate": 2, **TABLES, **ONE_PROBE}),
        ("probes/train", TRAIN),
        ("merge", {"merge": 1, **TRAIN, **UMAP}),
        ("embed", EMBED),
        ("index", {"index": 1, **REJECTED, **TRAIN, **UMAP, "explore": 2, **LABELS}),
        ("config", {}),
        ("cli", {}),
    ],
)
def test_an_edited_module(clone: Clone, module: Any, name: str, jobs: dict[str, int]):
    module(name)
    assert clone.planned(config=TINY) == jobs


def test_labels_never_touch_the_gpu(clone: Clone, module: Any):
    """With a user's archive, whose labels lie beside the pixels."""
    root = str(clone.results() / "archive")
    config = changed("archive", {"name": "own", "kind": "bigearthnet-v1", "root": root, "shards": 2})
    clone.run("features", config=config)
    module("labels")
    module("index")
    assert clone.planned("features", config=config) == {"index": 1, "rejected": 1, "features": 1}


def test_other_pixels_run_everything_again(clone: Clone):
    """Also where ids, splits and labels stay the same, and so the index."""
    jobs = clone.planned(config=changed("archive.seed", 2))
    assert jobs["shard"] == jobs["embed"] == 3


def test_a_touched_module(clone: Clone, module: Any):
    module("embed", text="")
    assert clone.planned(config=TINY) == {}


@pytest.fixture(scope="module")
def own_archive(clone: Clone) -> dict[str, Any]:
    """The simulated archive as a user's own, as far as its tables."""
    root = clone.folder / "own"
    shutil.copytree(clone.results() / "archive", root)
    config = changed("archive", {"name": "grown", "kind": "bigearthnet-v1", "root": str(root), "shards": 3})
    config |= {"label_sets": [19], "probes": {"mlp": TINY["probes"]["mlp"]}}
    clone.run("tables", config=config)
    return config


def test_a_patch_added_to_the_archive(clone: Clone, own_archive: dict[str, Any]):
    """All pixels are read again, since the z-score of every patch moves; the weights stay."""
    assert clone.planned("tables", config=own_archive) == {}
    root = Path(own_archive["archive"]["root"])
    old = next((root / "BigEarthNet-S1-v1.0").iterdir())
    new = re.sub(r"_\d+_\d+$", "_98_99", old.name)
    copied = old.with_name(new)
    copied.mkdir()
    for path in old.iterdir():
        shutil.copy(path, copied / path.name.replace(old.name, new))
    with (root / "bigearthnet-train.csv").open("a") as stream:
        stream.write(f"S2A_MSIL2A_20170613T101031_98_99,{new}\r\n")
    behind = {"index_patches": 1, "index": 1, "rejected": 1, "shard": 3, "shard_statistics": 1, "embed": 3, "merge": 1}
    jobs = {**behind, "train_mlp": 1, "evaluate": 1, "table": 1, "tables": 1}
    assert clone.planned("tables", config=own_archive) == jobs
    before = pl.read_parquet(clone.results("grown") / "features/dofa.parquet")
    clone.run("tables", config=own_archive)
    after = pl.read_parquet(clone.results("grown") / "features/dofa.parquet")
    assert set(after["patch_id"]) - set(before["patch_id"]) == {new}
    assert after.height == before.height + 1
