"""index_patches: which patches an archive holds, their splits, and where their pixels lie.

Labels are not read here, and pixels depend on nothing else: a change of labels never touches the embeddings.
"""

import csv
import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.errors import UserError
from earthprobe.files import replacing, with_metadata, write_csv
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
REBEN_S2_ID = re.compile(r"S2[AB]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T\w{5}_\d+_\d+")


@dataclass
class Splits:
    """The patches that the split files name.

    Attributes:
        members: patch_id -> (s2_id, split), each patch once.
        mismatches: (patch_id, split, problem) of entries that were dropped.
    """

    members: dict[str, tuple[str, str]] = field(default_factory=dict)
    mismatches: list[tuple[str, str, str]] = field(default_factory=list)


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
    """Reads the split files, keeps each patch once, and lists what is wrong with the others.

    A patch that two splits claim is left out of both: it would leak from train to test.
    """
    splits = Splits()
    leaking: set[str] = set()
    for split, path in paths.items():
        for s2_id, patch_id in read_split(path):
            if patch_id in leaking:
                splits.mismatches.append((patch_id, split, "in two splits: left out"))
            elif patch_id not in splits.members:
                splits.members[patch_id] = (s2_id, split)
            elif splits.members[patch_id][1] == split:
                splits.mismatches.append((patch_id, split, "twice in the split: kept once"))
            else:
                first = splits.members.pop(patch_id)[1]
                leaking.add(patch_id)
                splits.mismatches += [(patch_id, s, "in two splits: left out") for s in (first, split)]
    return splits


def index_patches(
    s1_folder: Path,
    split_files: Mapping[str, Path],
    *,
    shards: int,
    archive: str,
    simulated: bool,
    output: Path,
    mismatches: Path,
) -> None:
    """Lists the patches that a split names and the disk holds, ordered by ``patch_id``.

    Args:
        s1_folder: the folder with one folder a patch.
        split_files: split -> its file, for train, val and test.
        shards: how many shards the patches are spread over.
        archive: the archive's name, kept in the metadata.
        simulated: whether the patches are drawn at random, kept in the metadata.
        output: columns of :data:`SCHEMA`; ``folder`` is relative to ``s1_folder``.
        mismatches: CSV of the patches in a split but not on disk, on disk but in no split, or twice in splits.

    Raises:
        UserError: a split file is malformed, or a split is left without a patch.
    """
    with replacing(output) as part:
        splits = read_splits(split_files)
        with os.scandir(s1_folder) as entries:
            on_disk = {entry.name for entry in entries if entry.is_dir()}
        found = sorted(splits.members.keys() & on_disk)
        problems = list(splits.mismatches)
        problems += [(p, splits.members[p][1], "not on disk") for p in splits.members.keys() - on_disk]
        named = splits.members.keys() | {patch_id for patch_id, _, _ in splits.mismatches}
        problems += [(p, "", "in no split") for p in on_disk - named]
        for problem, count in Counter(problem for _, _, problem in problems).most_common():
            log.warning("%d patches: %s", count, problem)
        counts = Counter(splits.members[patch_id][1] for patch_id in found)
        for split in SPLITS:
            log.info("%s: %d patches of %s", split, counts[split], split_files[split])
            if not counts[split]:
                raise UserError(
                    f"{s1_folder} holds not one patch of {split} ({split_files[split]}):"
                    " do folder and split files belong together?"
                )
        metadata = {"archive": archive, "simulated": simulated, "shards": shards}
        columns = [
            found,
            [splits.members[patch_id][0] for patch_id in found],
            [splits.members[patch_id][1] for patch_id in found],
            [None] * len(found),
            [shard_of(patch_id, shards) for patch_id in found],
            found,
        ]
        arrays = [pa.array(column, type=f.type) for column, f in zip(columns, SCHEMA, strict=True)]
        write_csv(mismatches, ("patch_id", "split", "problem"), sorted(problems))
        pq.write_table(pa.table(arrays, with_metadata(SCHEMA, metadata)), part, compression="zstd")
