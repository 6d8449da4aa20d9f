"""Where the files of the patches are: in a folder, or in tar archives by the lists that index_members made of them."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl
import pyarrow as pa

from earthprobe.errors import UserError
from earthprobe.storage.parquet import read_metadata

LONGEST = 2**17
"""Bytes: twice a published file."""

MOST = 2**24
"""Bytes: no file of a patch is larger."""

MEMBERS = pa.schema(
    [
        ("folder", pa.string()),  # the patch's, below the archive's own
        ("file", pa.string()),  # its name without the patch's: VV.tif
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("content", pa.binary()),  # of a small file, whose place then does not matter
        ("problem", pa.string()),  # why it cannot be read, where it cannot
    ]
)
"""A list of files in an archive; its metadata say in which file (``content``) the offsets are."""

Place = tuple[int, int, int, bytes | None, str | None]


class Source(Protocol):
    """Reads files of patches; several threads may."""

    def read(self, folder: str, file: str) -> bytes:
        """The content of a file.

        Args:
            folder: the patch's, below the archive's own.
            file: the file's name without the patch's (``VV.tif``).

        Raises:
            ValueError: it is missing or cannot be read.
        """
        ...

    def has(self, folder: str) -> bool:
        """Whether there is anything of a patch."""
        ...


class Folder:
    """An unpacked archive."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, folder: str, file: str) -> bytes:
        """See :class:`Source`."""
        name = f"{folder.rpartition('/')[2]}_{file}"
        try:
            # Joined as text: making a Path costs as much as reading the file.
            with open(f"{self._root}/{folder}/{name}", "rb", buffering=0) as stream:  # noqa: PTH123
                content = stream.read(LONGEST)
                return content if len(content) < LONGEST else content + stream.read(MOST)
        except FileNotFoundError as error:
            raise ValueError(f"{name} is missing{self._other_case(folder, name)}") from error
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {error.strerror}") from error

    def has(self, folder: str) -> bool:
        """See :class:`Source`."""
        return (self._root / folder).is_dir()

    def _other_case(self, folder: str, name: str) -> str:
        """Says where a file is there under a name in other letters, such as .TIF."""
        here = self._root / folder
        alike = [path.name for path in here.iterdir() if path.name.lower() == name.lower()] if here.is_dir() else []
        return f" (found {alike[0]})" if alike else ""


class Packed:
    """Files inside tar archives, or in what was copied out of compressed ones."""

    def __init__(self, members: Sequence[Path], folders: Collection[str], files: Collection[str]) -> None:
        """Opens the archives, and remembers where files are.

        Args:
            members: what :func:`earthprobe.steps.index_members.run` wrote.
            folders: those of the patches that will be read.
            files: the names, without the patches', of the files that will be read.
        """
        wanted = pl.Series(sorted(folders), dtype=pl.String)
        self._places: dict[tuple[str, str], Place] = {}
        self._folders: set[str] = set()
        for path in members:
            archive = read_metadata(path)["content"]
            here = pl.col("file").is_in(sorted(files)) & pl.col("folder").is_in(wanted.implode())
            table = pl.scan_parquet(path).filter(here).collect()
            stream = -1
            if table.select((pl.col("content").is_null() & pl.col("problem").is_null()).any()).item():
                try:
                    stream = os.open(archive, os.O_RDONLY)  # for as long as the process lives
                except OSError as error:
                    raise UserError(f"{archive}, which {path} belongs to, cannot be read: {error.strerror}") from error
                os.posix_fadvise(stream, 0, 0, os.POSIX_FADV_RANDOM)
            for folder, file, *place in table.rows():
                self._places[folder, file] = (stream, *place)  # the last one counts, as tar unpacks it
                self._folders.add(folder)

    def read(self, folder: str, file: str) -> bytes:
        """See :class:`Source`."""
        name = f"{folder.rpartition('/')[2]}_{file}"
        if (folder, file) not in self._places:
            raise ValueError(f"{name} is missing")
        stream, offset, size, content, problem = self._places[folder, file]
        if problem:
            raise ValueError(f"{name} {problem}")
        if content is not None:
            return content
        try:
            content = os.pread(stream, size, offset)
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {error.strerror}") from error
        if len(content) < size:
            raise ValueError(f"{name} cannot be read: the archive is shorter than when it was indexed")
        return content

    def has(self, folder: str) -> bool:
        """See :class:`Source`."""
        return folder in self._folders


def open_source(paths: Sequence[Path], folders: Collection[str], files: Collection[str]) -> Source:
    """A folder, or the archives that lists of members belong to."""
    return Folder(paths[0]) if paths[0].is_dir() else Packed(paths, folders, files)


def folders_of(paths: Sequence[Path], depth: int) -> list[str]:
    """The folders of all patches, below the archive's own; twice where two tar archives have one.

    Args:
        paths: as for :func:`open_source`.
        depth: how many folders deep a patch lies: 1, or 2 where patches are gathered by scene.
    """
    if paths[0].is_dir():
        return _subfolders(str(paths[0]), depth)
    tables = [pl.scan_parquet(path).select("folder").unique() for path in paths]
    found = pl.concat(tables).sort("folder").collect()["folder"]
    return found.filter(found.str.count_matches("/") == depth - 1).to_list()


def _subfolders(root: str, depth: int) -> list[str]:
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    if depth == 1:
        return names
    return [f"{name}/{below}" for name in names for below in _subfolders(f"{root}/{name}", depth - 1)]
