"""What bad input gets."""

import csv
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.clone import DOFA, TINY, Clone

BEFORE = [
    ({**TINY, "probe": {}}, "earthprobe: config: top level: unknown key `probe`: did you mean `probes`?"),
    (
        {**TINY, "archive": {"name": "x", "kind": "bigearthnet-v1", "root": "nowhere"}},
        "earthprobe: config: archive.root: nowhere does not exist: give the folder of BigEarthNet-S1-v1.0, or its tar file",  # noqa: E501,
    ),
    (
        {**TINY, "features": {"dofa": {**DOFA, "weights": "dofa.pth"}}},
        "earthprobe: config: features.dofa.weights: 'dofa.pth' is neither DOFA_MAE, nor random:<seed>, nor a file",
    ),
]


@pytest.mark.parametrize(("config", "message"), BEFORE, ids=["key", "root", "weights"])
def test_a_bad_configuration_is_one_line_before_any_job(clone: Clone, config: dict[str, Any], message: str):
    output = clone.fail(config=config)
    said_by_snakemake, *ours = output.splitlines()
    assert said_by_snakemake.startswith("Using workflow specific profile")
    assert ours == [message]


@pytest.fixture
def broken(clone: Clone, tmp_path: Path) -> tuple[dict[str, Any], list[str]]:
    """The simulated archive as a user's own, with a missing band and a truncated one."""
    root = tmp_path / "archive"
    shutil.copytree(clone.results() / "archive", root)
    names = (root / "bigearthnet-train.csv").read_text().split()
    first, second = (line.split(",")[1] for line in names[:2])
    (root / f"BigEarthNet-S1-v1.0/{first}/{first}_VH.tif").unlink()
    cut = root / f"BigEarthNet-S1-v1.0/{second}/{second}_VV.tif"
    cut.write_bytes(cut.read_bytes()[:20_000])
    archive = {"name": "broken", "kind": "bigearthnet-v1", "root": str(root), "shards": 2}
    return {**TINY, "archive": archive}, sorted([first, second])


def test_unreadable_patches_are_named_and_left_out(clone: Clone, broken: tuple[dict[str, Any], list[str]]):
    config, names = broken
    output = clone.fail("features", config=config)
    assert "earthprobe shard-statistics: 2 of 48 patches (4.2%) are rejected, more than archive.max_rejected" in output
    assert "Traceback" not in output
    assert not (clone.results("broken") / "band_statistics/s1.json").exists()

    assert "after fixing them, delete results/broken/shards/s1/" in output

    config["archive"]["max_rejected"] = 0.1
    jobs = clone.planned("features", config=config)
    assert "shard" not in jobs  # the same command goes on from there
    clone.run("features", config=config)
    with (clone.results("broken") / "rejected.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["patch_id"] for row in rows] == names
    assert {row["split"] for row in rows} == {"train"}
    assert any("is missing" in row["reason"] for row in rows)
    assert any("cannot be read" in row["reason"] for row in rows)
    features = pl.read_parquet(clone.results("broken") / "features/pixels.parquet")
    assert features.height == 46
    assert not set(features["patch_id"]) & set(names)
