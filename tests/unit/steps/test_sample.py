from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.steps import sample
from earthprobe.steps.sample import stratified
from earthprobe.storage.parquet import read_metadata

from tests.unit.steps.test_explore import write_index


def test_the_sample_keeps_rare_classes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("earthprobe.steps.sample.FEWEST", 10)
    labels = pl.Series([[0]] * 900 + [[0, 1]] * 80 + [[2]] * 15 + [[0, 3]] * 4 + [[]], dtype=pl.List(pl.UInt8))
    rows = stratified(labels, 100, np.random.default_rng(0))
    assert len(rows) == len(set(rows)) == 100
    assert rows == sorted(rows)
    counts = pl.Series(labels[rows].explode()).value_counts()
    found = dict(counts.iter_rows())
    assert found[3] == 4
    assert found[2] >= 10
    assert found[1] >= 10
    assert found[0] > 50
    assert stratified(labels, 5000, np.random.default_rng(0)) == list(range(1000))


def test_it_is_of_all_splits_and_seeded(tmp_path: Path):
    index = write_index(tmp_path / "index.parquet", ["train", "val", "test"] * 100, [[0]] * 300)

    def run(name: str, seed: int) -> list[str]:
        sample.run(index=index, sample=90, seed=seed, output=tmp_path / name)
        ids: list[str] = pl.read_parquet(tmp_path / name)["patch_id"].to_list()
        return ids

    chosen = run("a.parquet", 0)
    assert len(set(chosen)) == 90
    assert chosen == sorted(chosen) == run("b.parquet", 0) != run("c.parquet", 1)
    splits = pl.read_parquet(index).filter(pl.col("patch_id").is_in(chosen))["split"].value_counts()
    assert min(splits["count"]) > 15
    assert read_metadata(tmp_path / "a.parquet")["patches"] == 300
