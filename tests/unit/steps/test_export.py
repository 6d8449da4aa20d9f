"""Vectors for others, read by the libraries that others use."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from earthprobe.errors import UserError
from earthprobe.steps import export
from earthprobe.storage.parquet import embedding_schema, with_metadata

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
IDS = ["a", "b", "c", "d"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Four vectors; of one patch the labels cannot be read."""
    metadata = {
        "archive": "own", "simulated": False, "licence": "CC0-1.0", "weights_licence": "MIT", "kind": "galileo",
        "model": "nano", "weights": "published", "bands": ["VV", "VH"],
    }  # fmt: skip
    schema = with_metadata(embedding_schema(3), metadata)
    table = pa.table([pa.array(IDS), pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), 3)], schema=schema)
    pq.write_table(table, tmp_path / "galileo.parquet")
    index = pl.DataFrame(
        {
            "patch_id": ["a", "b", "d"],
            "split": ["train", "val", "test"],
            "labels_own": [[0], [0, 1], []],
            "group": ["g", None, "h"],
            "country": ["Peru", None, None],
            "date": pl.Series(["2020-01-02", None, None]).str.to_date(),
            "longitude": [1.5, None, None],
            "latitude": [2.5, None, None],
        },
        schema_overrides={"labels_own": pl.List(pl.UInt8)},
    ).to_arrow()
    said = with_metadata(index.schema, {"classes": {"own": ["forest", "open water"]}})
    pq.write_table(index.cast(said), tmp_path / "index.parquet")
    return tmp_path / "galileo.parquet", tmp_path / "index.parquet"


def exported(files: tuple[Path, Path], form: Any, out: Path) -> Path:
    export.run(features=files[0], index=files[1], format=form, output=out)
    text = (out / "README.md").read_text()
    assert "Vectors of 3 figures (float32) of 4 patches of the archive own: nano, published, bands VV VH." in text
    assert "CC0-1.0, MIT" in text
    assert "2 classes: forest; open water" in text
    assert json.loads(text.partition("```json\n")[2].partition("\n```")[0])["kind"] == "galileo"
    return out


def test_npz(files: tuple[Path, Path], tmp_path: Path):
    out = exported(files, "npz", tmp_path / "out")
    with np.load(out / "vectors.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["vectors"], VECTORS)
        assert stored["ids"].tolist() == IDS
    rows = pl.read_csv(out / "patches.csv").to_dicts()
    assert [row["patch_id"] for row in rows] == IDS
    assert [row["labels_own"] for row in rows] == ["forest", "forest|open water", None, ""]
    assert (rows[0]["date"], rows[0]["longitude"], rows[2]["split"]) == ("2020-01-02", 1.5, None)


def test_safetensors(files: tuple[Path, Path], tmp_path: Path):
    out = exported(files, "safetensors", tmp_path / "out")
    np.testing.assert_array_equal(safetensors.numpy.load_file(out / "vectors.safetensors")["vectors"], VECTORS)
    assert pl.read_csv(out / "patches.csv")["patch_id"].to_list() == IDS


def test_a_hugging_face_folder(files: tuple[Path, Path], tmp_path: Path):
    out = exported(files, "hf", tmp_path / "out")
    assert sorted(path.name for path in (out / "data").iterdir()) == [
        "test.parquet", "train.parquet", "unlabelled.parquet", "validation.parquet",
    ]  # fmt: skip
    row = pl.read_parquet(out / "data/validation.parquet").row(0, named=True)
    assert (row["patch_id"], row["labels_own"], list(row["embedding"])) == ("b", ["forest", "open water"], [3, 4, 5])
    assert (out / "README.md").read_text().startswith("---\ntags:")


def test_what_is_there_is_left_alone(files: tuple[Path, Path], tmp_path: Path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="out is there already: give another folder, or delete it$"):
        export.run(features=files[0], index=files[1], output=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
