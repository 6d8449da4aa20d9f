"""BigEarthNet v1 as it is published: a folder a patch, and a list of patches a split."""

import lzma
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from earthprobe.archives.grid import date_of
from earthprobe.archives.interface import SPLITS, Entry
from earthprobe.archives.reben import SPLIT_NAMES
from earthprobe.errors import UserError
from earthprobe.storage.parquet import read_table

DEPTH = 1

REBEN_S2_ID = re.compile(r"S2[AB]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T\w{5}_\d+_\d+")


def entries(lists: Sequence[Path]) -> Iterator[Entry]:
    """What the split files say, line by line; or what reBEN's table says of the patches that are in v1, too.

    Args:
        lists: those of train, val and test, and then reBEN's table if it says the countries; or that table alone.

    Raises:
        UserError: a file is no text, a line is not a pair of v1 names, or a table is not reBEN's.
    """
    files = lists[: len(SPLITS)] if len(lists) >= len(SPLITS) else []
    known = {entry.s2_id: entry for table in lists[len(files) :] for entry in of_reben(table)}
    if not files:
        yield from known.values()
        return
    for split, path in zip(SPLITS, files, strict=True):
        for s2_id, patch_id in read_split(path):
            yield Entry(patch_id, s2_id, split, known[s2_id].country if s2_id in known else None, date_of(patch_id))


def of_reben(path: Path) -> Iterator[Entry]:
    """The patches of reBEN that v1 has, under their names there; reBEN keeps the names of Sentinel-1.

    Raises:
        UserError: it is not reBEN's table.
    """
    table = read_table(path, ("s1_name", "s2v1_name", "split", "country"))
    for patch_id, s2_id, split, country in table.drop_nulls(["s1_name", "s2v1_name"]).iter_rows():
        if split not in SPLIT_NAMES:
            raise UserError(f"{path}: {split!r} is not a split: expected {', '.join(SPLIT_NAMES)}")
        yield Entry(patch_id, s2_id, SPLIT_NAMES[split], country, date_of(patch_id))


def folder_of(sensor: str, patch_id: str, s2_id: str) -> str:
    """Where a patch's files of a sensor lie, below the archive's folder of it."""
    return patch_id if sensor == "s1" else s2_id


def read_split(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (s2_id, patch_id) of each line of a split file of BigEarthNet v1 (no header, ``s2,s1``).

    What a spreadsheet makes of such a file is read, too: a byte order mark, UTF-16, semicolons or tabs, spaces around
    names.

    Raises:
        UserError: the file is no text, or a line is not a pair of v1 names.
    """
    content = path.read_bytes()
    if path.suffix == ".xz":
        try:
            content = lzma.decompress(content)
        except lzma.LZMAError as error:
            raise UserError(f"{path} cannot be unpacked: {error}") from error
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file: if it is compressed, unpack it") from error
    for number, line in enumerate(text.splitlines(), start=1):
        names = [name.strip('"').strip() for name in re.split(r"\s*[,;\t]\s*", line.strip())]
        if names == [""]:
            continue
        if len(names) != 2 or not names[0].startswith("S2") or not names[1].startswith("S1"):
            header = ": take the header out" if number == 1 and not re.search(r"\d{8}T\d{6}", line) else ""
            raise UserError(f"{path}, line {number}: expected `s2 name,s1 name`, found {line.strip()[:80]!r}{header}")
        if REBEN_S2_ID.fullmatch(names[0]):
            raise UserError(
                f"{path}, line {number}: {names[0]} is a name of reBEN: its splits are unrelated to those"
                " of BigEarthNet v1 and half of the test patches would be trained on; use the v1 split files"
            )
        yield names[0], names[1]
