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
        ("folder", pa.string()),  # below the archive's own
        ("file", pa.string()),  # its name; /VV.tif of one that begins with the folder's name and _
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("content", pa.binary()),  # of a small file, whose place then does not matter
        ("problem", pa.string()),  # why it cannot be read, where it cannot
    ]
)
"""A list of files in an archive; its metadata say in which file (``content``) the offsets are."""

Place = tuple[int, int, int, bytes | None, str | None]


def key_of(path: str) -> tuple[str, str]:
    """How lists of members know a file: by its folder and its name.

    A name that begins with that of its folder, as those of patches do, is stored without: there are few others, so that
    a list stays small.
    """
    folder, _, name = path.rpartition("/")
    start = f"{folder.rpartition('/')[2]}_"
    return folder, f"/{name.removeprefix(start)}" if folder and name.startswith(start) else name


class Source(Protocol):
    """Reads files of patches; several threads may."""

    def read(self, path: str) -> bytes:
        """The content of a file.

        Args:
            path: below the archive's own folder.

        Raises:
            ValueError: it is missing or cannot be read.
        """
        ...

    def has(self, path: str) -> bool:
        """Whether a file is there, readable or not."""
        ...


class Folder:
    """An unpacked archive."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes:
        """See :class:`Source`."""
        folder, _, name = path.rpartition("/")
        try:
            # Joined as text: making a Path costs as much as reading the file.
            with open(f"{self._root}/{path}", "rb", buffering=0) as stream:  # noqa: PTH123
                content = stream.read(LONGEST)
                content = content if len(content) < LONGEST else content + stream.read(MOST)
        except FileNotFoundError as error:
            raise ValueError(f"{name} is missing{self._other_case(folder, name)}") from error
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {error.strerror}") from error
        if len(content) > MOST:
            raise ValueError(f"{name} has more than {MOST} bytes, too large for a file of a patch")
        return content

    def has(self, path: str) -> bool:
        """See :class:`Source`."""
        return (self._root / path).exists()

    def _other_case(self, folder: str, name: str) -> str:
        """Says where a file is there under a name in other letters, such as .TIF."""
        here = self._root / folder
        alike = [path.name for path in here.iterdir() if path.name.lower() == name.lower()] if here.is_dir() else []
        return f" (found {alike[0]})" if alike else ""


class Packed:
    """Files inside tar archives, or in what was copied out of compressed ones."""

    def __init__(self, members: Sequence[Path], wanted: Collection[str]) -> None:
        """Opens the archives, and remembers where files are.

        Args:
            members: what :func:`earthprobe.steps.index_members.run` wrote.
            wanted: the paths of the files that will be read.
        """
        keys = {key_of(path) for path in wanted}
        folders, files = (pl.Series(sorted({key[part] for key in keys}), dtype=pl.String) for part in (0, 1))
        self._places: dict[tuple[str, str], Place] = {}
        for path in members:
            archive = read_metadata(path)["content"]
            here = pl.col("file").is_in(files.implode()) & pl.col("folder").is_in(folders.implode())
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

    def read(self, path: str) -> bytes:
        """See :class:`Source`."""
        name, key = path.rpartition("/")[2], key_of(path)
        if key not in self._places:
            raise ValueError(f"{name} is missing")
        stream, offset, size, content, problem = self._places[key]
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

    def has(self, path: str) -> bool:
        """See :class:`Source`."""
        return key_of(path) in self._places


def open_source(paths: Sequence[Path], wanted: Collection[str]) -> Source:
    """A folder, or the archives that lists of members belong to.

    Args:
        paths: the folder, or the lists.
        wanted: the paths of the files that will be read, below the archive's own folder.
    """
    return Folder(paths[0]) if paths[0].is_dir() else Packed(paths, wanted)


def top_of(members: Sequence[Path], wanted: Sequence[str]) -> str:
    """The folder that tar files have above what is looked for, with a slash behind it; nothing where they have none.

    Args:
        members: what :func:`earthprobe.steps.index_members.run` wrote.
        wanted: paths of files, of which one at least is there.
    """
    folders = {key_of(path)[0] for path in wanted}
    tables = [pl.scan_parquet(path).select("folder").unique() for path in members]
    known = set(pl.concat(tables).collect()["folder"])
    if folders & known:
        return ""
    for top in sorted({folder.partition("/")[0] for folder in known}):
        if any((f"{top}/{folder}" if folder else top) in known for folder in folders):
            return f"{top}/"
    return ""


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
