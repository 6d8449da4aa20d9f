"""A forest that is grown in several jobs, by its steps."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import train, train_part
from earthprobe.steps.index import schema_of
from earthprobe.storage.parquet import with_metadata

FOREST = {"kind": "random_forest", "n_estimators": 7, "min_samples_leaf": 2}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Features and index of 90 patches with three classes."""
    folder, rng = tmp_path_factory.mktemp("parts"), np.random.default_rng(0)
    ids, labels = [f"p{i:02d}" for i in range(90)], [[i % 3] for i in range(90)]
    vectors = rng.normal(size=(90, 5)).astype(np.float32) + np.array(labels)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), 5)
    schema = pa.schema([("patch_id", pa.string()), ("embedding", pa.list_(pa.float32(), 5))])
    pq.write_table(pa.table([pa.array(ids), column], with_metadata(schema, {})), folder / "features.parquet")
    index = schema_of(("a",))
    rows = dict.fromkeys(index.names, [None] * 90) | {"patch_id": ids, "s2_id": ids, "labels_a": labels}
    rows |= {"split": ["train", "train", "train", "val", "test"] * 18, "shard": [0] * 90}
    rows |= {"folder_s1": ids, "folder_s2": ids}
    said = {"classes": {"a": ["x", "y", "z"]}, "rejected": [], "tasks": {"a": "multilabel"}, "classes_left_out": {}}
    pq.write_table(pa.table(rows, schema=with_metadata(index, said)), folder / "index.parquet")
    return {"features": folder / "features.parquet", "index": folder / "index.parquet"}


def grow(
    files: dict[str, Path], output: Path, part: int, parts: int = 3, label_set: str = "a", **probe: object
) -> Path:
    entry = json.dumps({**FOREST, **probe})
    train_part.run(probe=entry, label_set=label_set, part=part, parts=parts, output=output, **files)
    return output


def gather(files: dict[str, Path], folder: Path, parts: list[Path], probe: object = FOREST, **more: int) -> list[bytes]:
    folder.mkdir()
    outputs = {"scores": folder / "scores.parquet", "model": folder / "model.safetensors"}
    train.run(probe=json.dumps(probe), label_set="a", parts=parts, **outputs, **files, **more)
    return [path.read_bytes() for path in outputs.values()]


def test_parts_give_what_one_job_gives(files: dict[str, Path], tmp_path: Path):
    parts = [grow(files, tmp_path / f"{part}.safetensors", part) for part in range(3)]
    assert gather(files, tmp_path / "parts", parts) == gather(files, tmp_path / "whole", [])


def test_what_does_not_fit_together_is_refused(files: dict[str, Path], tmp_path: Path):
    part = grow(files, tmp_path / "part", 0)
    for what, message in (
        (lambda: gather(files, tmp_path / "1", [part]), "--parts hold 2 trees, and the probe has 7"),
        (lambda: gather(files, tmp_path / "2", [part], permute=0), "leave out --permute, --budget and folds"),
        (lambda: gather(files, tmp_path / "3", [part], budget=10), "leave out --permute, --budget and folds"),
        (lambda: gather(files, tmp_path / "4", [part], {"kind": "linear"}), "a probe of kind linear has no trees"),
        (lambda: grow(files, tmp_path / "x", 3), "--part 3: of 3 parts, the first is 0 and the last 2"),
        (lambda: grow(files, tmp_path / "x", 0, label_set="b"), "b"),
        (
            lambda: train_part.run(
                probe='{"kind": "mlp"}', label_set="a", part=0, parts=1, output=tmp_path / "x", **files
            ),
            "a probe of kind mlp has no trees",
        ),
    ):
        with pytest.raises(UserError, match=message):
            what()
    assert not (tmp_path / "x").exists()
