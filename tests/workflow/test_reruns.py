"""What a change runs again, and what it does not."""

import copy
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tifffile
from earthprobe.registry import PACKAGE

from tests.clone import DOFA, TINY, Clone, Graph
from tests.conftest import REPOSITORY

PLACED = {"by_place": 2, "figure_distance": 2, "figure_map": 2}
SHORT = {"summary": 1, "first_page": 1}
PAGE = {"explorer": 1, "first_page": 1}
LOOKED = {"doubts": 1, "manifest": 1, **PAGE}
TABLES = {"table": 2, "compare": 2, "figure_comparison": 2, "manifest": 1, **SHORT, **PLACED, **LOOKED, "doubts": 2}
REJECTED = {"rejected": 1, "check": 1}
ONE_PROBE = {
    "figure_f2_per_class": 2,
    "figure_reliability": 2,
    "figure_confusion": 2,
    "figure_gallery": 2,
    "figure_cost": 2,
}
ALL_PROBES = {
    "figure_f2_per_class": 2,
    "figure_reliability": 2,
    "figure_confusion": 6,
    "figure_gallery": 2,
    "figure_cost": 2,
}
UMAP = {"umap": 1, "figure_umap": 2, "figure_umaps": 2}
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
    assert jobs == {"train": 2, "evaluate": 2, **TABLES, **ONE_PROBE, "config": 1}


def test_a_new_probe(clone: Clone):
    jobs = clone.planned(config=changed("probes.linear2", {"kind": "linear"}))
    assert jobs == {"train": 2, "evaluate": 2, **TABLES, **ONE_PROBE, "config": 1}


def test_a_new_feature_set(clone: Clone):
    jobs = clone.planned(config=changed("features.other", {**DOFA, "wavelengths": [5.405, 5.405]}))
    new = {"embed_weights": 1, "embed": 3, "cost": 1, "merge": 1, "train": 6, "neighbors": 1, "retrieval": 2}
    assert jobs == {**new, "evaluate": 6, **TABLES, **ALL_PROBES, **UMAP, "config": 1}


def test_a_label_set_removed_and_brought_back(clone: Clone):
    assert clone.planned(config=changed("label_sets", [19])) == {"config": 1, "manifest": 1, **SHORT, **PAGE}
    assert clone.planned(config=changed("label_sets", [19, 43])) == {}


def test_the_threshold(clone: Clone):
    assert clone.planned(config=changed("threshold", 0.4)) == {"evaluate": 6, **TABLES, **ALL_PROBES, "config": 1}


def test_the_order_of_keys(clone: Clone):
    backwards = {key: TINY[key] for key in reversed(TINY)}
    backwards["probes"] = {n: dict(reversed(p.items())) for n, p in TINY["probes"].items()}
    assert clone.planned(config=backwards) == {}


def test_a_deleted_result(clone: Clone):
    path = clone.results() / "probes/pixels/19/mlp/metrics.json"
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
    path = clone.results() / "figures/confusion_pixels_19_mlp.png"
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


# What each module's edit runs again, in a study of two feature sets of different models and three probes of different
# kinds. Of the jobs one dry run tells all; that Snakemake itself plans so is then seen for a few.
WIDE = TINY | {"features": TINY["features"] | {"dofa": DOFA}, "label_sets": [19]}
GALLERY = {"figure_gallery": 2}
RELIABLE = {"figure_reliability": 2}
PROBES = {"figure_f2_per_class": 2, **RELIABLE, "figure_confusion": 6, **GALLERY}
TABLE = {"table": 1, "manifest": 1}
COMPARED = {"figure_comparison": 1, "first_page": 1}
COMPARE = {"compare": 1, **COMPARED, **SHORT}
RETRIEVED = {"retrieval": 1, "manifest": 1}
NEAR = {"neighbors": 2, **RETRIEVED}
MAPPED = {"figure_distance": 1, "figure_map": 1}
PLACES = {"by_place": 1, **MAPPED, "manifest": 1}
UMAPS = {"figure_umap": 2, "figure_umaps": 1}
SEEN = {"umap": 2, **UMAPS, **PAGE}
DRAWN = {"figure_class_distribution": 1, "figure_label_correlation": 1}
CLASSES = {"explore": 1, **DRAWN}
EVALUATE = {
    "evaluate": 6,
    **TABLE,
    **COMPARE,
    **PROBES,
    **PLACES,
    **LOOKED,
    "figure_cost": 1,
}
TRAIN = {"train": 6, **EVALUATE}
FITTED = {**TRAIN, **NEAR, "distance": 1}
DRAWS = {**EVALUATE, "retrieval": 1}
MERGE = {"merge": 2, **TRAIN, **SEEN, **NEAR}
EMBED = {"embed": 3, "embed_on_cpu": 3, "cost": 2, **MERGE}
LEFT_OUT = {"rejected": 1, "check": 1}
SHARDS = {"shard": 3, "shard_statistics": 1, **LEFT_OUT, **EMBED, **GALLERY}
INDEX = {"index": 1, "sample": 1, "distance": 1, **LEFT_OUT, **CLASSES, **TRAIN, **SEEN, **NEAR}
ARCHIVE = {"index_patches": 1, **INDEX, **SHARDS}
EVERYTHING = {"simulate": 1, **ARCHIVE}
ONE_MODEL = {"merge": 1, "train": 3, "evaluate": 3, **TABLE, **COMPARE, "umap": 1, "figure_umap": 1, "figure_umaps": 1}
ONE_MODEL |= {
    **LOOKED,
    "neighbors": 1,
    "retrieval": 1,
    **PLACES,
    "cost": 1,
    "figure_cost": 1,
    "figure_reliability": 1,
    "figure_f2_per_class": 1,
    "figure_confusion": 3,
    "figure_gallery": 1,
}
ONE_KIND = {
    "train": 2,
    "evaluate": 2,
    **TABLE,
    **COMPARE,
    "figure_f2_per_class": 2,
    "figure_confusion": 2,
    "figure_gallery": 2,
}
ONE_KIND |= {"figure_cost": 1, **RELIABLE, **PLACES, **LOOKED}
TWO_KINDS = ONE_KIND | {"train": 4, "evaluate": 4, "figure_confusion": 4}

EDITS = [
    ("steps/simulate", EVERYTHING),
    ("archives/simulated", EVERYTHING),
    ("archives/label_frequencies", EVERYTHING),
    *(
        (name, {})  # of Sentinel-2, which this study does not see
        for name in (
            "steps/simulate_optical",
            "archives/simulated_reflectance",
            "archives/simulated_surfaces",
            "storage/plain_tiff",
        )
    ),
    ("sensors", {"embed_weights": 1, **EVERYTHING}),
    ("steps/index_patches", ARCHIVE),
    ("archives/bigearthnet_v1", ARCHIVE),
    ("archives/bigearthnet_v1_labels", INDEX),
    ("archives/bigearthnet", EVERYTHING),  # patches are drawn by their classes
    ("archives/reben", ARCHIVE),  # of whose table patches of v1 can take their split
    ("archives/find", {}),
    ("storage/source", ARCHIVE),
    ("steps/index_members", {}),  # of tar archives alone
    ("storage/tar", {}),
    ("storage/tar_names", {}),
    ("storage/tiff", SHARDS),
    ("storage/pixel_sums", SHARDS),
    ("steps/shard", SHARDS),
    ("steps/shard_statistics", {"shard_statistics": 1, **LEFT_OUT, **EMBED}),
    ("storage/pixels", {**EMBED, **GALLERY}),
    ("storage/doubling", {**EMBED, **GALLERY}),
    ("steps/embed", EMBED),
    ("models/interface", {"embed_weights": 1, **EMBED}),
    ("models/forward", EMBED),
    ("models/weights", {"embed_weights": 1, **EMBED}),
    ("models/dofa", {"embed_weights": 1, "embed": 3, **ONE_MODEL}),
    ("models/baked", {"embed_weights": 1, "embed": 3, **ONE_MODEL}),
    ("models/packed", EMBED),
    ("models/assemble", EMBED),
    ("models/energy", {"embed": 3, "embed_on_cpu": 3, "cost": 2, **MERGE}),
    ("steps/cost", {"cost": 2, "figure_cost": 1}),
    ("figures/cost", {"figure_cost": 1}),
    ("storage/markdown", {**TABLE, **COMPARE, **PLACES, "retrieval": 1, "figure_cost": 1}),
    *(
        (f"models/{name}", {})
        for name in ("galileo", "torchgeo", "torchgeo_others", "timm", "rcf", "location", "file", "callable")
    ),
    *((f"steps/{name}", {}) for name in ("fit_model", "take_vectors", "compress", "ablation", "train_part")),
    ("figures/ablation", {}),
    ("archives/grid", EVERYTHING),  # patches are drawn at the places of their names
    *(
        (f"archives/{name}", {})
        for name in ("bands", "check_table", "read_table", "splits", "table", "table_labels")  # of tables alone
    ),
    *((f"steps/{name}", {}) for name in ("index_table", "list_folders", "export")),
    ("storage/band_files", ARCHIVE),
    ("storage/patches", ARCHIVE),
    ("storage/geoparquet", ARCHIVE),
    ("storage/rasters", SHARDS),
    ("storage/geotiff", SHARDS),
    ("archives/countries", ARCHIVE),
    ("borders", {**ARCHIVE}),
    ("outlines", {"figure_map": 1, **PAGE}),
    ("steps/distance", {"distance": 1, **PLACES}),
    ("steps/by_place", PLACES),
    ("evaluation/places", PLACES),
    ("figures/distance", {"figure_distance": 1}),
    ("figures/map", {"figure_map": 1}),
    ("distance", {**ARCHIVE}),
    ("storage/row_group", SHARDS),
    ("storage/html", {**TABLE, "retrieval": 1, "check": 1}),
    ("storage/scores", FITTED),
    ("probes/data", FITTED),
    ("evaluation/resampling", DRAWS),
    ("evaluation/sweep", DRAWS),
    ("evaluation/clusters", {**TRAIN, "retrieval": 1}),  # labels are bought by them
    ("evaluation/thresholds", DRAWS),
    ("evaluation/calibration", DRAWS),
    ("evaluation/runs", DRAWS),
    ("sections", TABLE),
    ("table_notes", TABLE),
    ("summary", SHORT),
    ("steps/summary", SHORT),
    ("steps/first_page", {"first_page": 1}),
    ("steps/ensemble", {}),
    ("probes/budgets", TRAIN),
    ("probes/selection", TWO_KINDS),
    ("figures/reliability", RELIABLE),
    ("figures/label_budgets", {}),
    ("evaluation/comparison", {**COMPARE, **TABLE, "retrieval": 1}),
    ("evaluation/controls", {}),
    ("steps/compare", {**COMPARE, **TABLE}),
    ("steps/control", {}),
    ("steps/list_reben", {}),
    ("figures/comparison", COMPARED),
    ("figures/buffer", {}),
    ("models/pooling", {"embed_weights": 1, "embed": 3, **ONE_MODEL}),
    ("models/protocols", EMBED),
    ("models/options", EMBED),
    ("models/units", EMBED),
    ("models/vectors", {}),
    ("evaluation/intervals", DRAWS),
    ("probes/losses", TWO_KINDS),
    ("probes/optimizers", TWO_KINDS),
    ("probes/protocols", TRAIN),
    ("models/statistics", {"embed_on_cpu": 3, **ONE_MODEL}),
    ("steps/embed_weights", {"embed_weights": 1, "embed": 3, **ONE_MODEL}),
    ("storage/download", {}),
    ("steps/fetch", {}),
    ("steps/merge", MERGE),
    ("steps/index", INDEX),
    ("storage/embeddings", {**FITTED, **SEEN}),
    ("storage/label_matrix", {**FITTED, **CLASSES}),
    ("steps/train", TRAIN),
    ("probes/interface", {**FITTED, **SEEN}),
    ("probes/forest", ONE_KIND),
    ("probes/distinct", ONE_KIND),
    ("probes/random_forest", ONE_KIND),
    ("probes/extra_trees", {}),
    ("probes/binned_forest", {}),
    ("probes/binned_data", {}),
    ("probes/binned_leaves", {}),
    ("probes/binned_trees", {}),
    ("probes/linear", ONE_KIND),
    ("probes/mlp", ONE_KIND),
    ("probes/knn", {}),
    ("probes/search", {**NEAR, **SEEN}),
    ("probes/fits", {"distance": 1, **PLACES, **NEAR}),
    ("steps/neighbors", NEAR),
    ("steps/retrieval", RETRIEVED),
    ("evaluation/retrieval", RETRIEVED),
    ("probes/linear_sgd", {}),
    ("steps/evaluate", EVALUATE),
    ("evaluation/metrics", EVALUATE),
    ("steps/table", TABLE),
    ("steps/rejected", LEFT_OUT),
    ("steps/check", {"check": 1}),
    ("steps/explore", CLASSES),
    ("steps/sample", {"sample": 1, **SEEN}),
    ("steps/umap", SEEN),
    ("evaluation/best", {**GALLERY, **PLACES, **LOOKED, "figure_cost": 1}),
    ("evaluation/doubts", LOOKED),
    ("steps/doubts", LOOKED),
    ("steps/explorer", PAGE),
    ("storage/pictures", PAGE),
    ("storage/page", PAGE),
    ("storage/thumbnails", PAGE),
    ("storage/quick_look", {**GALLERY, **PAGE}),
    ("figures/umap", UMAPS),
    ("figures/umaps", {"figure_umaps": 1}),
    ("figures/class_distribution", {"figure_class_distribution": 1}),
    ("figures/label_correlation", {"figure_label_correlation": 1}),
    ("figures/f2_per_class", {"figure_f2_per_class": 2}),
    ("figures/confusion", {"figure_confusion": 6}),
    ("figures/gallery", GALLERY),
    ("figures/style", {**DRAWN, **MAPPED, **UMAPS, **COMPARED, "figure_cost": 1, **PROBES}),
    ("figures/numbers", {**DRAWN, **MAPPED, **UMAPS, **COMPARED, "figure_cost": 1, **PROBES}),
    ("steps/config", {"config": 1, "manifest": 1}),
    ("steps/manifest", {"manifest": 1}),
    ("storage/digest", {"manifest": 1}),
    ("storage/manifests", {"config": 1, "manifest": 1}),
    *(
        (name, {})
        for name in (
            "errors",
            "ablations",
            "feature_sets",
            "names",
            "progress",
            "provenance",
            "config",
            "cli",
            "registry",
            "seeds",
            "slurm",
            "steps/show",
            "steps/verify",
            "steps/cite",
            "steps/resume",
        )
    ),
]


@pytest.fixture(scope="module")
def wide(clone: Clone) -> Graph:
    """All jobs of the wider study, which is not run."""
    return clone.graph("all", "shards", "features", "tables", config=WIDE)


def as_path(module: str) -> str:
    return f"workflow/earthprobe/{module}.py"


@pytest.mark.parametrize(("module", "jobs"), EDITS, ids=[name for name, _ in EDITS])
def test_an_edited_module_reaches_its_own_jobs(wide: Graph, module: str, jobs: dict[str, int]):
    assert (REPOSITORY / as_path(module)).is_file()
    assert wide.after(as_path(module)) == jobs


def test_every_module_is_in_the_list():
    modules = {str(p.relative_to(PACKAGE).with_suffix("")) for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"}
    assert modules - {name for name, _ in EDITS} == {
        "describe",
        "storage/files",
        "storage/parquet",
        "archives/interface",
        "archives/reben_labels",
    }


@pytest.mark.parametrize(
    "name", ["storage/tiff", "models/statistics", "probes/linear", "evaluation/metrics", "figures/style", "steps/index"]
)
def test_snakemake_plans_what_an_edit_reaches(clone: Clone, module: Any, tiny_graph: Graph, name: str):
    module(name)
    assert clone.planned(config=TINY) == tiny_graph.after(as_path(name)) != {}


@pytest.mark.parametrize(
    "name", ["errors", "feature_sets", "progress", "provenance", "storage/download", "config", "cli", "registry"]
)
def test_a_better_message_runs_nothing(clone: Clone, module: Any, name: str):
    module(name)
    assert clone.planned(config=TINY) == {}


@pytest.fixture(scope="module")
def tiny_graph(clone: Clone) -> Graph:
    """The jobs of the study that has run."""
    return clone.graph(config=TINY)


def test_labels_never_touch_the_gpu(clone: Clone, module: Any):
    """With a user's archive, whose labels lie beside the pixels."""
    root = str(clone.results() / "archive")
    config = changed("archive", {"name": "own", "kind": "bigearthnet-v1", "root": root, "shards": 2})
    clone.run("features", config=config)
    module("archives/bigearthnet_v1_labels")
    module("archives/bigearthnet")
    module("steps/index")
    assert clone.planned("features", config=config) == {"index": 1, "rejected": 1, "features": 1}


def test_other_pixels_run_everything_again(clone: Clone):
    """Also where ids, splits and labels stay the same, and so the index."""
    jobs = clone.planned(config=changed("archive.seed", 2))
    assert jobs["shard"] == jobs["embed_on_cpu"] == 3


def test_a_touched_module(clone: Clone, module: Any):
    module("steps/embed", text="")
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
    for path in copied.glob("*.tif"):
        tifffile.imwrite(path, tifffile.imread(path))  # without the tags that say where the other one lies
    said = copied / f"{new}_labels_metadata.json"
    said.write_text(json.dumps({"labels": json.loads(said.read_text())["labels"]}))  # its place is another
    with (root / "bigearthnet-train.csv").open("a") as stream:
        stream.write(f"S2A_MSIL2A_20170613T101031_98_99,{new}\r\n")
    behind = {
        "index_patches": 1,
        "index": 1,
        "rejected": 1,
        "shard": 3,
        "shard_statistics": 1,
        "embed_on_cpu": 3,
        "merge": 1,
    }
    near = {"neighbors": 1, "retrieval": 1, "distance": 1, "by_place": 1}
    tables = {"compare": 1, "table": 1, "doubts": 1, "manifest": 1, "tables": 1, "summary": 1}
    jobs = {**behind, **near, **tables, "train": 1, "evaluate": 1}
    assert clone.planned("tables", config=own_archive) == jobs
    before = pl.read_parquet(clone.results("grown") / "features/pixels.parquet")
    clone.run("tables", config=own_archive)
    after = pl.read_parquet(clone.results("grown") / "features/pixels.parquet")
    assert set(after["patch_id"]) - set(before["patch_id"]) == {new}
    assert after.height == before.height + 1
