from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.storage.parquet import check_ids, read_metadata, read_table, with_metadata


def test_metadata_round_trip(tmp_path: Path):
    schema = with_metadata(pa.schema([("a", pa.int8())]), {"x": [1, "é"]})
    pq.write_table(pa.table({"a": [1]}, schema=schema), tmp_path / "x.parquet")
    assert read_metadata(tmp_path / "x.parquet")["x"] == [1, "é"]
    assert {"earthprobe_version", "earthprobe_commit"} <= read_metadata(tmp_path / "x.parquet").keys()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all"])
def test_what_is_no_parquet_is_a_user_error(tmp_path: Path, content: bytes):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"x.parquet cannot be read"):
        read_metadata(tmp_path / "x.parquet")


def test_a_foreign_parquet_is_a_user_error(tmp_path: Path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="was not written by earthprobe"):
        read_metadata(tmp_path / "x.parquet")


def test_ids_are_checked(tmp_path: Path):
    pq.write_table(pa.table({"patch_id": ["a", "b"]}), tmp_path / "x.parquet")
    check_ids(tmp_path / "x.parquet", ["a", "b"])
    for wrong in (["a"], ["b", "a"], ["a", "c"]):
        with pytest.raises(UserError, match="holds 2 patches where"):
            check_ids(tmp_path / "x.parquet", wrong)


def test_a_column_that_a_table_lacks_is_named(tmp_path: Path):
    pq.write_table(pa.table({"a": [1], "b": [2], "c": [3]}), tmp_path / "x.parquet")
    assert read_table(tmp_path / "x.parquet", ("c", "a")).rows() == [(3, 1)]
    with pytest.raises(UserError, match=r"x.parquet has no column d: it has a, b, c$"):
        read_table(tmp_path / "x.parquet", ("a", "d"))
    with pytest.raises(UserError, match=r"absent.parquet cannot be read: "):
        read_table(tmp_path / "absent.parquet", ("a",))
