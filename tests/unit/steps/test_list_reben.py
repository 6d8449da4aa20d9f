"""Tables of real patches and labels, for studies without pixels."""

from pathlib import Path

import polars as pl
from earthprobe.archives.bigearthnet import CLASSES_19
from earthprobe.steps import list_reben

from tests.conftest import SHARED, needs


def test_under_the_split_of_v1_and_under_its_own(tmp_path: Path):
    metadata = needs(SHARED / "reben-metadata" / "metadata.parquet")
    lists = {s: needs(SHARED / "bigearthnet-v1-splits") / f"bigearthnet-{s}.csv.xz" for s in ("train", "val", "test")}
    list_reben.run(metadata=metadata, **lists, output=tmp_path / "v1.parquet")
    list_reben.run(metadata=metadata, output=tmp_path / "reben.parquet")
    v1, own = pl.read_parquet(tmp_path / "v1.parquet"), pl.read_parquet(tmp_path / "reben.parquet")
    assert v1.columns == own.columns == ["id", "labels", "split", "group", "country"]
    assert dict(v1["split"].value_counts().iter_rows()) == {"train": 248_674, "val": 114_764, "test": 116_600}
    assert dict(own["split"].value_counts().iter_rows()) == {"train": 237_871, "val": 122_342, "test": 119_825}
    assert v1["id"].equals(own["id"])
    assert set(v1["labels"].explode()) == set(CLASSES_19)
    assert v1["group"][0] == v1["id"][0].rsplit("_", 2)[0]
