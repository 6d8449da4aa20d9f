"""What a change runs again, and what it does not."""

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.conftest import FEATURES, TINY, Clone

TABLES = {"table": 2}
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


@pytest.fixture
def module(clone: Clone) -> Iterator[Any]:
    """Edits a module of the clone and puts it back."""
    edited: dict[Path, tuple[bytes, os.stat_result]] = {}

    def edit(name: str, text: str = "\n# edited\n") -> None:
        path = clone.folder / f"workflow/earthprobe/{name}.py"
        edited[path] = (path.read_bytes(), path.stat())
        with path.open("a") as stream:
            stream.write(text)
        os.utime(path)

    yield edit
    for path, (content, stat) in edited.items():
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


TRAIN = {"train_forest": 2, "train_linear": 2, "train_mlp": 2, "evaluate": 6, **TABLES, **ALL_PROBES}


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
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
        ("embed", {"embed": 3, "merge": 1, **TRAIN, **UMAP}),
        ("index", {"index": 1, "rejected": 1, **TRAIN, **UMAP, "explore": 2, **LABELS}),
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
