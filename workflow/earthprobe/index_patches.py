"""index_patches: which patches an archive holds, their splits, and where their pixels lie.

Labels are not read here, and pixels depend on nothing else: a change of labels never touches the embeddings.
"""

import csv
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.archive import folders_of
from earthprobe.errors import UserError
from earthprobe.files import read_table, replacing, with_metadata, write_csv
from earthprobe.layout import SPLITS

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        ("patch_id", pa.string()),
        ("s2_id", pa.string()),
        ("split", pa.string()),
        ("country", pa.string()),
        ("shard", pa.uint16()),
        ("folder", pa.string()),
    ]
)
REBEN_SPLITS = {"train": "train", "validation": "val", "test": "test"}
REBEN_S2_ID = re.compile(r"S2[AB]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T\w{5}_\d+_\d+")


class Entry(NamedTuple):
    """What an archive's lists say of a patch."""

    s2_id: str
    split: str
    country: str | None


@dataclass
class Splits:
    """The patches that an archive's lists put into a split.

    Attributes:
        depth: how many folders below the archive's own a patch lies.
        members: patch_id -> its entry, each patch once.
        mismatches: (patch_id, split, problem) of entries that were dropped.
    """

    depth: int
    members: dict[str, Entry] = field(default_factory=dict)
    mismatches: list[tuple[str, str, str]] = field(default_factory=list)
    _leaking: set[str] = field(default_factory=set)

    def add(self, patch_id: str, entry: Entry) -> None:
        """Keeps a patch once; one that two splits claim is left out of both, since it would leak from train to test."""
        known = self.members.get(patch_id)
        if patch_id in self._leaking:
            self.mismatches.append((patch_id, entry.split, "in two splits: left out"))
        elif known is None:
            self.members[patch_id] = entry
        elif known.split == entry.split:
            self.mismatches.append((patch_id, entry.split, "twice in the split: kept once"))
        else:
            del self.members[patch_id]
            self._leaking.add(patch_id)
            self.mismatches += [(patch_id, split, "in two splits: left out") for split in (known.split, entry.split)]


def shard_of(patch_id: str, shards: int) -> int:
    """The shard of a patch: a hash of its id alone, so that no patch moves when another is added."""
    digest = hashlib.blake2b(patch_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


def read_split(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (s2_id, patch_id) of each line of a split file of BigEarthNet v1 (no header, ``s2,s1``).

    Raises:
        UserError: the file is no text, or a line is not a pair of v1 names.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text file: unpack it, if it is compressed") from error
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row:
            continue
        if len(row) != 2 or not row[0].startswith("S2") or not row[1].startswith("S1"):
            raise UserError(f"{path}, line {number}: expected `s2 name,s1 name`, found {','.join(row)[:80]!r}")
        if REBEN_S2_ID.fullmatch(row[0]):
            raise UserError(
                f"{path}, line {number}: {row[0]} is a name of reBEN: its splits are unrelated to those"
                " of BigEarthNet v1 and half of the test patches would be trained on; use the v1 split files"
            )
        yield row[0], row[1]


def read_splits(paths: Mapping[str, Path]) -> Splits:
    """Reads the split files of BigEarthNet v1: split -> its file, for train, val and test."""
    splits = Splits(depth=1)
    for split, path in paths.items():
        for s2_id, patch_id in read_split(path):
            splits.add(patch_id, Entry(s2_id, split, None))
    return splits


def read_tables(paths: Sequence[Path]) -> Splits:
    """Reads reBEN's tables of labels and splits.

    Their ``patch_id`` is the Sentinel-2 patch's, with row and column padded to two digits; the Sentinel-1 patch
    and its folder are named by ``s1_name``, which is not padded: neither can be derived from the other.

    Raises:
        UserError: a file is none of these tables, or names another split.
    """
    splits = Splits(depth=2)
    for path in paths:
        table = read_table(path, ("s1_name", "patch_id", "split", "country"))
        for name in ("s1_name", "patch_id", "split"):
            if table[name].dtype != pl.String or table[name].null_count():
                raise UserError(f"{path}: column {name} is no text, or lacks some")
        for patch_id, s2_id, split, country in table.rows():
            if split not in REBEN_SPLITS:
                raise UserError(f"{path}: {split!r} is no split: {', '.join(REBEN_SPLITS)} are")
            splits.add(patch_id, Entry(s2_id, REBEN_SPLITS[split], country))
    return splits


def index_patches(
    s1: Sequence[Path],
    splits: Splits,
    *,
    shards: int,
    archive: str,
    simulated: bool,
    output: Path,
    mismatches: Path,
) -> None:
    """Lists the patches that a split names and the archive holds, ordered by ``patch_id``.

    Args:
        s1: the archive's folder of Sentinel-1 patches, or the lists of the members of its tar files.
        splits: which patches belong to which split.
        shards: how many shards the patches are spread over.
        archive: the archive's name, kept in the metadata.
        simulated: whether the patches are drawn at random, kept in the metadata.
        output: columns of :data:`SCHEMA`; ``folder`` is relative to the archive's.
        mismatches: CSV of the patches in a split but not in the archive, in the archive but in no split, or twice
            in splits.

    Raises:
        UserError: a split is left without a patch.
    """
    with replacing(output) as part:
        folders = {folder.rpartition("/")[2]: folder for folder in folders_of(s1, splits.depth)}
        found = sorted(splits.members.keys() & folders.keys())
        problems = list(splits.mismatches)
        problems += [(p, splits.members[p].split, "not on disk") for p in splits.members.keys() - folders.keys()]
        named = splits.members.keys() | {patch_id for patch_id, _, _ in splits.mismatches}
        problems += [(p, "", "in no split") for p in folders.keys() - named]
        for problem, count in Counter(problem for _, _, problem in problems).most_common():
            log.warning("%d patches: %s", count, problem)
        entries = [splits.members[patch_id] for patch_id in found]
        counts = Counter(entry.split for entry in entries)
        for split in SPLITS:
            log.info("%s: %d patches", split, counts[split])
            if not counts[split]:
                raise UserError(
                    f"{s1[0]} holds not one patch of {split}: do the archive and its split files belong together?"
                )
        metadata = {"archive": archive, "simulated": simulated, "shards": shards}
        columns = [
            found,
            [entry.s2_id for entry in entries],
            [entry.split for entry in entries],
            [entry.country for entry in entries],
            [shard_of(patch_id, shards) for patch_id in found],
            [folders[patch_id] for patch_id in found],
        ]
        arrays = [pa.array(column, type=f.type) for column, f in zip(columns, SCHEMA, strict=True)]
        write_csv(mismatches, ("patch_id", "split", "problem"), sorted(problems))
        pq.write_table(pa.table(arrays, with_metadata(SCHEMA, metadata)), part, compression="zstd")
