"""index: which patches an archive holds, their splits and labels, and where their pixels lie."""

import csv
import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.config import SPLITS
from earthprobe.errors import UserError
from earthprobe.files import replacing, with_metadata, write_csv
from earthprobe.labels import CLASSES_19, CLASSES_43, indices_19, indices_43

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        ("patch_id", pa.string()),
        ("s2_id", pa.string()),
        ("split", pa.string()),
        ("labels_43", pa.list_(pa.uint8())),
        ("labels_19", pa.list_(pa.uint8())),
        ("country", pa.string()),
        ("shard", pa.uint16()),
        ("folder", pa.string()),
    ]
)
REBEN_S2_ID = re.compile(r"S2[AB]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T\w{5}_\d+_\d+")
READERS = 16  # threads: on a network disk opening a file is mostly waiting


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
        UserError: a line is not a pair of v1 names.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if not row:
                continue
            if len(row) != 2 or not row[0].startswith("S2") or not row[1].startswith("S1"):
                raise UserError(f"{path}, line {number}: expected `s2 name,s1 name`, found {','.join(row)!r}")
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


def read_labels(folder: Path) -> list[int]:
    """The 43-class indices of the patch in ``folder``, from its JSON file.

    Raises:
        ValueError: the file is missing, is no JSON, has no list ``labels`` or names an unknown class.
    """
    path = folder / f"{folder.name}_labels_metadata.json"
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"labels cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError("labels file is no JSON") from error
    names = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("labels file has no list `labels`")
    return indices_43(names)


def index_bigearthnet_v1(
    s1_folder: Path,
    split_files: Mapping[str, Path],
    shards: int,
    archive: str,
    output: Path,
    mismatches: Path,
    simulated: bool = False,
) -> None:
    """Writes ``index.parquet`` and the list of patches whose splits and files disagree.

    Args:
        s1_folder: the folder with one folder a patch.
        split_files: split -> its file, for train, val and test.
        shards: how many shards the patches are spread over.
        archive: the archive's name, kept in the metadata.
        output: the index: one row a patch that a split names and the disk holds, ordered by ``patch_id``;
            ``folder`` is relative to ``s1_folder``.
        mismatches: CSV of the patches in a split but not on disk, on disk but in no split, or twice in splits.
        simulated: whether the patches are drawn at random, kept in the metadata.

    Raises:
        UserError: a split file is malformed, or a split is left without a patch.
    """
    splits = read_splits(split_files)
    on_disk = {entry.name for entry in s1_folder.iterdir() if entry.is_dir()}
    found = sorted(splits.members.keys() & on_disk)
    problems = list(splits.mismatches)
    problems += [(p, splits.members[p][1], "not on disk") for p in splits.members.keys() - on_disk]
    named = splits.members.keys() | {patch_id for patch_id, _, _ in splits.mismatches}
    problems += [(p, "", "in no split") for p in on_disk - named]

    def labels_or_reason(patch_id: str) -> list[int] | str:
        try:
            return read_labels(s1_folder / patch_id)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(READERS) as pool:
        labels = dict(zip(found, pool.map(labels_or_reason, found, chunksize=256), strict=True))
    rejected = [(p, splits.members[p][1], reason) for p, reason in labels.items() if isinstance(reason, str)]

    rows = []
    for patch_id, labels_43 in labels.items():
        if isinstance(labels_43, str):
            continue
        s2_id, split = splits.members[patch_id]
        shard = shard_of(patch_id, shards)
        rows.append((patch_id, s2_id, split, labels_43, indices_19(labels_43), None, shard, patch_id))
    counts = Counter(row[2] for row in rows)
    for split in SPLITS:
        log.info("%s: %d patches of %s", split, counts[split], split_files[split])
    _log_counts("rejected", rejected)
    _log_counts("mismatch", problems)
    for split in SPLITS:
        if not counts[split]:
            raise UserError(
                f"{s1_folder}: not one readable patch of the {len(splits.members)} in the split files belongs"
                f" to {split} ({split_files[split]}): do folder and split files belong together?"
            )

    schema = with_metadata(
        SCHEMA,
        {
            "archive": archive,
            "simulated": simulated,
            "classes": {"19": CLASSES_19, "43": CLASSES_43},
            "shards": shards,
            "rejected": rejected,
        },
    )
    columns = zip(*rows, strict=True)
    table = pa.table([pa.array(column, type=f.type) for column, f in zip(columns, SCHEMA, strict=True)], schema)
    write_csv(mismatches, ("patch_id", "split", "problem"), sorted(problems))
    with replacing(output) as part:
        pq.write_table(table, part, compression="zstd")


def _log_counts(what: str, entries: Iterable[tuple[str, str, str]]) -> None:
    for reason, count in Counter(reason for _, _, reason in entries).most_common():
        log.warning("%s: %d patches: %s", what, count, reason)
