"""What tar archives and their parts are called; importing this costs nothing."""

import re
from collections.abc import Sequence
from pathlib import Path

TAR = r"\.tar(?:\.gz|\.zst)?|\.tgz"
PART = re.compile(rf"(.+(?:{TAR}))\.?(?:[a-f][a-z](?<!bz)|part\d+|\d{{2,3}})")
"""How the parts of a tar archive are named that was cut by ``split``: x.tar.gzaa, x.tar.gz.ab, x.tar.part1."""


def tar_name(file: Path) -> str | None:
    """The name of the tar archive that a file is, or is a part of; None where it is neither."""
    if re.search(rf"(?:{TAR})$", file.name):
        return file.name
    part = PART.fullmatch(file.name)
    return part[1] if part else None


def is_plain(files: Sequence[Path]) -> bool:
    """Whether the members of a tar archive can be read where they lie: it is one file, and not compressed."""
    return len(files) == 1 and files[0].name.endswith(".tar")
