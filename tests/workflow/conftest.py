"""Runs of the real workflow in a clone of the repository, with a small simulated archive."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clone import TINY, Clone


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the tiny configuration has run to the end."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    made.run(config=TINY)
    return made


@pytest.fixture
def module(clone: Clone) -> Iterator[Any]:
    """Edits a module of the clone and puts it back."""
    edited: dict[Path, tuple[bytes, os.stat_result]] = {}

    def edit(name: str, text: str = "\n# edited\n") -> None:
        path = clone.folder / f"workflow/earthprobe/{name}.py"
        edited[path] = (path.read_bytes(), path.stat())
        with path.open("a") as stream:
            stream.write(text)
        os.utime(path)

    yield edit
    for path, (content, stat) in edited.items():
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
