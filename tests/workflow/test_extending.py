"""A probe and a model of one's own, as docs/extending.md shows them."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from earthprobe import registry
from earthprobe.storage.parquet import read_metadata

from tests.clone import TINY, Clone, example

CONFIG: dict[str, Any] = TINY | {
    "archive": TINY["archive"] | {"name": "extending"},
    "label_sets": [19],
    "features": TINY["features"] | {"edges": {"kind": "./my_model.py", "bands": ["VV", "VH"], "widths": [1, 4]}},
    "probes": {"linear": TINY["probes"]["linear"], "centroids": {"kind": "./my_probe.py", "sharpness": 2.0}},
}


@pytest.fixture(scope="module")
def own(clone: Clone) -> Clone:
    """The tiny study with both, as far as its table."""
    for name in ("my_model.py", "my_probe.py"):
        (clone.folder / name).write_text(example(name))
    clone.run("tables", config=CONFIG)
    return clone


def test_they_have_rows_of_their_own(own: Clone):
    with (own.results("extending") / "tables/classification_19.csv").open() as stream:
        rows = [(row["features"], row["probe"]) for row in csv.DictReader(stream) if row["source"] == "this run"]
    assert rows == [(f, p) for f in ("pixels", "edges") for p in ("linear", "centroids")]
    metadata = read_metadata(own.results("extending") / "features/edges.parquet")
    assert metadata["kind"] == "./my_model.py"
    assert metadata["widths"] == [1, 4]
    assert metadata["normalization"]["kind"] == "zscore"


def test_a_saved_probe_scores_new_embeddings(own: Clone):
    folder = own.results("extending") / "probes/edges/19/centroids"
    scores = pl.read_parquet(folder / "scores.parquet")
    features = pl.read_parquet(own.results("extending") / "features/edges.parquet")
    known = scores.select("patch_id").join(features, on="patch_id", how="left", maintain_order="left")
    again = registry.load("probes", str(own.folder / "my_probe.py")).read(folder / "model.safetensors")
    np.testing.assert_allclose(again(known["embedding"].to_numpy()), scores["scores"].to_numpy(), atol=1e-5)


BEHIND = {"evaluate": 2, "by_place": 1, "compare": 1, "doubts": 1, "table": 1, "manifest": 1, "summary": 1}


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("my_probe.py", {"train": 2, **BEHIND}),
        ("my_model.py", {"embed": 3, "merge": 1, "neighbors": 1, "retrieval": 1, "train": 2, **BEHIND}),
    ],
)
def test_an_edit_runs_its_own_rows_again(own: Clone, name: str, jobs: dict[str, int]):
    def planned() -> dict[str, int]:
        found = own.planned("tables", config=CONFIG)
        return {rule: count for rule, count in found.items() if rule != "tables"}

    assert planned() == {}
    path = Path(own.folder / name)
    before = path.stat()
    os.utime(path)
    assert planned() == {}, "the same text"
    path.write_text(example(name) + "# edited\n")
    assert planned() == jobs
    path.write_text(example(name))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_misspelt_option_is_one_line(own: Clone):
    wrong = CONFIG | {"probes": {"centroids": {"kind": "./my_probe.py", "sharpnes": 2.0}}}
    output = own.fail("tables", config=wrong)
    assert "probes.centroids: unknown key `sharpnes`: did you mean `sharpness`?" in output
    assert "Traceback" not in output


def test_a_file_that_fails_is_one_line(own: Clone):
    (own.folder / "broken.py").write_text("import nowhere\n\n\ndef build(weights, inputs): ...\n")
    wrong = CONFIG | {"features": {"broken": {"kind": "./broken.py", "bands": ["VV"]}}}
    output = own.fail("features", config=wrong)
    assert "earthprobe embed: broken.py cannot be imported: ModuleNotFoundError: No module named 'nowhere'" in output
    assert "Traceback" not in output
