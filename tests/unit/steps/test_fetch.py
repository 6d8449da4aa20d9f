import hashlib
from pathlib import Path

import pytest
from earthprobe import registry
from earthprobe.cli import main
from earthprobe.errors import UserError
from earthprobe.steps import fetch
from torchgeo.datasets import BigEarthNet, BigEarthNetV2

from tests.conftest import SHARED, needs

V1 = registry.kind("archives", "bigearthnet-v1").facts
REBEN = registry.kind("archives", "reben").facts


def test_only_published_files_are_fetched(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--kind", "bigearthnet-v1", "--file", "x.tar", "--output", str(tmp_path / "x")]
    assert main(["fetch", *arguments, "--log", str(tmp_path / "log")]) == 1
    reason = f"x.tar is not published of bigearthnet-v1: {', '.join(V1['published']['files'])} is"
    assert capsys.readouterr().err == f"earthprobe fetch: {reason}\n"


def test_another_archives_files_are_not_taken(tmp_path: Path):
    for kind, published in (("reben", "BigEarthNet-S1.tar.zst, .* is"), ("simulated", "nothing is")):
        with pytest.raises(UserError, match=rf"^bigearthnet-train.csv is not published of {kind}: {published}$"):
            fetch.run(kind=kind, file="bigearthnet-train.csv", output=tmp_path / "x")


def test_files_are_those_of_torchgeo_and_of_the_samples():
    files = V1["published"]["files"]
    for split, entry in BigEarthNet.splits_metadata.items():
        assert files[entry["filename"]]["md5"] == entry["md5"]
        assert entry["url"].startswith(files[f"bigearthnet-{split}.csv"]["url"])
    for sensor in ("s1", "s2"):
        theirs = BigEarthNet.metadata[sensor]
        assert files[V1["tars"][sensor]] == {"url": theirs["url"], "md5": theirs["md5"]}
        assert V1["folders"][sensor] == theirs["directory"]
        assert REBEN["folders"][sensor] == BigEarthNetV2.dir_file_names[sensor]
    tables = [*REBEN["lists"][0], *REBEN["extra_lists"].values()]
    assert (
        REBEN["published"]["files"][tables[0]]["md5"]
        == (BigEarthNetV2.metadata_locs["metadata"]["files"]["metadata.parquet"])
    )
    for facts in (V1, REBEN):
        published = facts["published"]["files"]
        assert {*facts["tars"].values(), *(names[0] for names in facts["lists"])} <= set(published)
        assert all(file["url"].endswith(name) for name, file in published.items() if "-S" in name)
    assert len(tables) == 2
    for name in tables:
        content = (needs(SHARED / "reben-metadata") / name).read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == REBEN["published"]["files"][name]["md5"]
