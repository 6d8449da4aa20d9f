import datetime
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from earthprobe.errors import UserError
from earthprobe.storage import digest
from earthprobe.storage.parquet import with_metadata

ROWS = 100
VECTORS = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)


def table(**changed: pa.Array) -> pa.Table:
    """A column of each kind that our files have."""
    columns = {
        "patch_id": pa.array([f"é{n}" for n in range(ROWS)]),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), 3),
        "targets": pa.FixedSizeListArray.from_arrays(pa.array([n % 3 == 0 for n in range(ROWS * 2)]), 2),
        "labels": pa.array([list(range(n % 4)) if n % 5 else None for n in range(ROWS)], pa.list_(pa.uint8())),
        "date": pa.array([datetime.date(2017, 6, 1 + n % 9) if n % 2 else None for n in range(ROWS)]),
        "time": pa.array([n if n % 2 else None for n in range(ROWS)], pa.timestamp("ms", "UTC")),
        "geometry": pa.array([bytes([n]) * (n % 3) if n % 7 else None for n in range(ROWS)]),
        "bbox": pa.array([{"x": n / 2, "y": 1.0 if n % 2 else None} if n % 7 else None for n in range(ROWS)]),
        "repeat": pa.array([n % 3 for n in range(ROWS)], pa.uint8()),
    }
    return pa.table(columns | changed)


def of(path: Path, content: pa.Table, **options: object) -> str:
    pq.write_table(content, path / "x.parquet", **options)
    return digest.of_table(path / "x.parquet")


@pytest.mark.parametrize("rows", [1, 7, 4096])
def test_only_values_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int):
    expected = of(tmp_path, table())
    monkeypatch.setattr(digest, "ROWS", rows)
    assert of(tmp_path, table(), compression="zstd", row_group_size=13, use_dictionary=False) == expected
    shuffled = table().select(sorted(table().column_names, reverse=True))
    assert of(tmp_path, shuffled) == expected
    assert of(tmp_path, shuffled.cast(with_metadata(shuffled.schema, {"commit": "another"}))) == expected


def changed(column: str) -> pa.Table:
    """The table with the last value of a column changed."""
    whole = table()
    values = whole[column].to_pylist()
    last = {
        "patch_id": "x",
        "embedding": [*VECTORS[-1, :2].tolist(), float(np.nextafter(VECTORS[-1, 2], np.float32(9)))],
        "targets": [True, True],
        "labels": [9],
        "date": None,
        "time": datetime.datetime(2017, 6, 1, tzinfo=datetime.UTC),
        "geometry": b"other",
        "bbox": {"x": 0.0, "y": 0.0},
        "repeat": 9,
    }[column]
    return table(**{column: pa.array([*values[:-1], last], whole[column].type)})


@pytest.mark.parametrize("column", table().column_names)
def test_every_value_counts(tmp_path: Path, column: str):
    assert of(tmp_path, changed(column)) != of(tmp_path, table())


def test_texts_do_not_run_into_each_other(tmp_path: Path):
    assert of(tmp_path, pa.table({"a": ["x", "yz"]})) != of(tmp_path, pa.table({"a": ["xy", "z"]}))
    assert of(tmp_path, pa.table({"a": [[1], [2, 3]]})) != of(tmp_path, pa.table({"a": [[1, 2], [3]]}))
    assert of(tmp_path, pa.table({"a": ["", None]})) != of(tmp_path, pa.table({"a": [None, ""]}))


def test_order_names_and_types_count(tmp_path: Path):
    expected = of(tmp_path, pa.table({"a": pa.array([1, 2], pa.int32())}))
    for other in (
        pa.table({"a": pa.array([2, 1], pa.int32())}),
        pa.table({"b": pa.array([1, 2], pa.int32())}),
        pa.table({"a": pa.array([1, 2], pa.int64())}),
        pa.table({"a": pa.array([1], pa.int32())}),
    ):
        assert of(tmp_path, other) != expected


def test_chosen_columns(tmp_path: Path):
    pq.write_table(table(), tmp_path / "x.parquet")
    some = digest.of_table(tmp_path / "x.parquet", ("patch_id", "embedding"))
    assert some == of(tmp_path, table().select(["patch_id", "embedding"]))


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"x.parquet cannot be read"):
        digest.of_table(tmp_path / "x.parquet")


def test_tensors_without_their_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def of_tensors(metadata: dict[str, str], **tensors: object) -> str:
        (tmp_path / "x").write_bytes(safetensors.numpy.save(tensors, metadata))
        return digest.of_tensors(tmp_path / "x")

    vector = np.arange(5, dtype=np.float32)
    expected = of_tensors({"a": "b"}, w=vector)
    monkeypatch.setattr(digest, "CHUNK", 3)
    assert of_tensors({"c": "d", "e": "f"}, w=vector) == expected
    assert of_tensors({"a": "b"}, w=vector + 1) != expected
    assert of_tensors({"a": "b"}, v=vector) != expected
    assert of_tensors({"a": "b"}, w=vector.reshape(5, 1)) != expected


def test_of_vectors_only_ids_and_figures_count(tmp_path: Path):
    """Footprints stand beside them, and change with the archive's list alone."""
    places = [value.as_py() for value in table()["geometry"]]
    elsewhere = table(geometry=pa.array([b"elsewhere", *places[1:]], pa.binary()))
    found = []
    for content in (table(), elsewhere, changed("embedding"), changed("patch_id")):
        pq.write_table(content, tmp_path / "x.parquet")
        found.append(digest.of(tmp_path / "x.parquet"))
    assert found[0] == found[1]
    assert len(set(found)) == 3
    (tmp_path / "x.csv").write_bytes(b"a\n")
    assert digest.of(tmp_path / "x.csv") == hashlib.sha256(b"a\n").hexdigest()


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x02" + bytes(7) + b"{"])
def test_damaged_tensors_are_named(tmp_path: Path, content: bytes):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"x.safetensors is damaged: delete it, and run again what made it"):
        digest.of_tensors(tmp_path / "x.safetensors")
