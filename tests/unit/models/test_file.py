"""Vectors from elsewhere."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.errors import UserError
from earthprobe.models import file
from safetensors.numpy import save_file

IDS = ["p3", "p1", "p2"]
MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
PATCHES = pl.DataFrame({"patch_id": ["p1", "p2", "p3"]})


def write(folder: Path, suffix: str, ids: list[str] = IDS, matrix: np.ndarray = MATRIX) -> str:
    path = folder / f"vectors{suffix}"
    if suffix == ".parquet":
        pl.DataFrame({"patch_id": ids, "embedding": matrix.tolist()}).write_parquet(path)
    elif suffix == ".npz":
        np.savez(path, patch_id=np.array(ids), embedding=matrix)
    else:
        save_file({"embedding": matrix}, path, {"patch_id": json.dumps(ids)})
    return str(path)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".safetensors"])
def test_each_format_gives_each_patch_its_vector(tmp_path: Path, suffix: str):
    taken = file.vectors(PATCHES, path=write(tmp_path, suffix))
    assert taken.ids == ["p1", "p2", "p3"]
    np.testing.assert_array_equal(taken.matrix, MATRIX[[1, 2, 0]])
    assert taken.settings["source"] == f"vectors{suffix}"
    assert len(taken.settings["sha256"]) == 64


def test_missing_patches_are_counted_and_named(tmp_path: Path):
    path = write(tmp_path, ".npz", ["p1", "p2", "other"])
    taken = file.vectors(PATCHES, path=path, max_missing=0.5)
    assert (taken.ids, taken.missing) == (["p1", "p2"], ["p3"])
    with pytest.raises(UserError, match=r"has no vector of 1 of 3 patches, .*; the first is p3; it has ids such as p1"):
        file.vectors(PATCHES, path=path)


@pytest.mark.parametrize(
    ("suffix", "ids", "matrix", "message"),
    [
        (".npz", ["p1", "p1", "p2"], MATRIX, r"p1 is there twice \(1 such rows\)"),
        (".npz", ["p1", "p2"], MATRIX, r"2 ids, but vectors of shape \(3, 4\)"),
        (".npz", IDS, np.full((3, 4), np.nan, dtype=np.float32), "a vector is not finite"),
        (".parquet", IDS, np.arange(3.0), "holds double, not lists"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, suffix: str, ids: list[str], matrix: np.ndarray, message: str):
    with pytest.raises(UserError, match=message):
        file.vectors(PATCHES, path=write(tmp_path, suffix, ids, matrix))


def test_vectors_of_several_lengths_are_refused(tmp_path: Path):
    path = tmp_path / "v.parquet"
    pl.DataFrame({"patch_id": ["p1", "p2"], "embedding": [[1.0, 2, 3], [4.0]]}).write_parquet(path)
    with pytest.raises(UserError, match="the lists of column embedding differ in length"):
        file.vectors(PATCHES, path=str(path))


@pytest.mark.parametrize("content", ["cut", "array"])
def test_an_npz_file_that_is_none_is_one_line(tmp_path: Path, content: str):
    path = Path(write(tmp_path, ".npz"))
    if content == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        np.save(path.with_suffix(".npy"), MATRIX)
        path.with_suffix(".npy").rename(path)
    with pytest.raises(UserError, match=r"vectors.npz cannot be read as ids"):
        file.vectors(PATCHES, path=str(path))


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path):
    for name, content in (("a.npz", b"x"), ("a.parquet", b"x"), ("a.safetensors", b"x")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=r"cannot be read as ids `patch_id` and vectors `embedding`"):
            file.vectors(PATCHES, path=str(tmp_path / name))
    with pytest.raises(UserError, match="the name of a file of vectors ends in"):
        file.vectors(PATCHES, path="x.csv")
    np.savez(tmp_path / "objects.npz", patch_id=np.array([{}], dtype=object), embedding=MATRIX[:1])
    with pytest.raises(UserError, match="allow_pickle=False"):
        file.vectors(PATCHES, path=str(tmp_path / "objects.npz"))
