import hashlib
from pathlib import Path

import pytest
from earthprobe.cli import main
from earthprobe.fetch import FILES, Published
from earthprobe.layout import FOLDERS, METADATA, SNOW_AND_CLOUDS, TARS
from torchgeo.datasets import BigEarthNet, BigEarthNetV2

from tests.conftest import SHARED, needs


def test_only_published_files_are_fetched(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["fetch", "--file", "x.tar", "--output", str(tmp_path / "x"), "--log", str(tmp_path / "log")]) == 1
    assert "x.tar is not published: BigEarthNet-S1-v1.0.tar.gz, " in capsys.readouterr().err


def test_files_are_those_of_torchgeo_and_of_the_samples():
    for split, entry in BigEarthNet.splits_metadata.items():
        assert FILES[entry["filename"]].md5 == entry["md5"]
        assert entry["url"].startswith(FILES[f"bigearthnet-{split}.csv"].url)
    for sensor in ("s1", "s2"):
        theirs = BigEarthNet.metadata[sensor]
        assert FILES[TARS[sensor]["bigearthnet-v1"]] == Published(theirs["url"], theirs["md5"])
        assert FOLDERS[sensor]["bigearthnet-v1"] == theirs["directory"]
        assert FOLDERS[sensor]["reben"] == BigEarthNetV2.dir_file_names[sensor]
    assert FILES[METADATA].md5 == BigEarthNetV2.metadata_locs["metadata"]["files"]["metadata.parquet"]
    assert {tar for tars in TARS.values() for tar in tars.values()} < set(FILES)
    assert all(published.url.endswith(name) for name, published in FILES.items() if "-S" in name)
    for name in (METADATA, SNOW_AND_CLOUDS):
        content = (needs(SHARED / "reben-metadata") / name).read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == FILES[name].md5
