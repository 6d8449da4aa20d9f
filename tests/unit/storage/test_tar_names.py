from pathlib import Path

import pytest
from earthprobe.storage.tar_names import tar_name


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        ("x.tar", "x.tar"),
        ("x.tgz", "x.tgz"),
        ("x.tar.zst", "x.tar.zst"),
        ("x.tar.gzaa", "x.tar.gz"),
        ("x.tar.gz.bd", "x.tar.gz"),
        ("x.tar.part12", "x.tar"),
        ("x.tar.zst.001", "x.tar.zst"),
        ("x.tar.xz", None),
        ("x.tar.lz", None),
        ("x.tar.bz", None),
        ("x.tar.bz2", None),
        ("x.tar.gz.md5", None),
        ("x.zip", None),
    ],
)
def test_tar_archives_and_their_parts_are_known_by_name(name: str, archive: str | None):
    assert tar_name(Path(name)) == archive
