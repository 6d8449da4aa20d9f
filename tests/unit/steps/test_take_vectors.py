"""Vectors that need no pixels."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import take_vectors
from earthprobe.storage.parquet import read_metadata, with_metadata


def patches(folder: Path, places: list[float | None]) -> Path:
    days = pl.Series(["2017-06-13"] * len(places)).str.to_date()
    frame = pl.DataFrame({"patch_id": [f"p{i}" for i in range(len(places))], "date": days})
    frame = frame.with_columns(longitude=pl.Series(places, dtype=pl.Float64), latitude=pl.lit(50.0)).to_arrow()
    path = folder / "patches.parquet"
    pq.write_table(frame.cast(with_metadata(pa.schema(frame.schema), {"archive": "x", "simulated": False})), path)
    return path


def test_patches_without_a_place_are_counted(tmp_path: Path):
    path = patches(tmp_path, [8.0, None, 9.0])
    take_vectors.run(model='{"kind": "location"}', patches=path, output=tmp_path / "f.parquet")
    assert pl.read_parquet(tmp_path / "f.parquet")["patch_id"].to_list() == ["p0", "p2"]
    assert read_metadata(tmp_path / "f.parquet")["missing"] == 1


def test_a_feature_set_of_no_patch_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no patch has what a feature set of kind location is made of"):
        take_vectors.run(
            model='{"kind": "location"}', patches=patches(tmp_path, [None, None]), output=tmp_path / "f.parquet"
        )
    assert not (tmp_path / "f.parquet").exists()
