"""List an archive's patches, their splits, and where their pixels lie.

Labels are not read here, and pixels depend on nothing else: a change of labels never touches the embeddings.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe import registry
from earthprobe.archives import grid
from earthprobe.archives.countries import countries
from earthprobe.archives.interface import SPLITS, Entry
from earthprobe.errors import UserError
from earthprobe.sensors import BANDS
from earthprobe.storage.band_files import BandFile, stored
from earthprobe.storage.files import replacing, write_csv
from earthprobe.storage.geoparquet import described, footprints, geographic
from earthprobe.storage.parquet import with_metadata
from earthprobe.storage.patches import NAMES, SCHEMA, shard_of
from earthprobe.storage.source import folders_of

log = logging.getLogger(__name__)

NOT_ON_DISK = "not on disk"
TWICE = "found twice"

LISTED = 100
"""Patches that are not on the disk which the list of mismatches names."""


@dataclass
class Splits:
    """The patches that an archive's lists put into a split.

    Attributes:
        members: patch_id -> its entry, each patch once.
        mismatches: (patch_id, split, problem) of entries that were dropped.
    """

    members: dict[str, Entry] = field(default_factory=dict)
    mismatches: list[tuple[str, str, str]] = field(default_factory=list)
    _leaking: set[str] = field(default_factory=set)

    def add(self, entry: Entry) -> None:
        """Keeps a patch once; one that two splits claim is left out of both, since it would leak from train to test."""
        patch_id = entry.patch_id
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


def _band_files(paths: Mapping[str, str]) -> dict[str, BandFile]:
    """Which file holds which band, by the paths that the YAML file of the archive's kind has a sensor."""
    return {
        name: BandFile(band, paths[band.sensor].replace("{band}", name))
        for name, band in BANDS.items()
        if band.sensor in paths
    }


def _by_patch(module: Any, splits: Splits, folders: Sequence[str]) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """The folder of each patch, and what is wrong with some: names that are no text, and patches that are there twice.

    Of a patch in several folders that counts which lies where its kind of archive has it.
    """
    found: dict[str, str] = {}
    problems: list[tuple[str, str, str]] = []
    twice: dict[str, set[str]] = {}
    for folder in folders:
        try:
            folder.encode()
        except UnicodeEncodeError:
            problems.append((_shown(folder), "", "its name is not UTF-8: left out"))
            continue
        patch_id = folder.rpartition("/")[2]
        if patch_id in found:
            twice.setdefault(patch_id, {found[patch_id]}).add(folder)
        else:
            found[patch_id] = folder
    for patch_id, places in twice.items():
        entry = splits.members.get(patch_id)
        proper = module.folder_of("s1", patch_id, entry.s2_id) if entry else ""
        found[patch_id] = proper if proper in places else min(places)
        where = " and ".join(sorted(places)) if len(places) > 1 else f"{min(places)} in several archives"
        problems.append((patch_id, entry.split if entry else "", f"{TWICE}: {where}; {found[patch_id]} was taken"))
    return found, problems


def _shown(folder: str) -> str:
    """A folder's name as text, whatever bytes it has."""
    return folder.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _nothing_found(module: Any, splits: Splits, files: Sequence[Path]) -> str:
    """What to say where the archive holds no patch of the lists."""
    if not splits.members:
        return f"{files[0]}: the lists name no patch"
    patch_id = min(splits.members)
    wanted = module.folder_of("s1", patch_id, splits.members[patch_id].s2_id)
    there = [folder for depth in (module.DEPTH, 1, 2) for folder in folders_of(files, depth)[:1]]
    found = f"found {_shown(there[0])}" if there else "found no folder"
    return f"{files[0]} holds no patch of the lists: {found}, looked for folders such as {wanted}"


def _listed(problems: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """All problems, and of the patches that are not there the first few: a study of a part lacks nearly all."""
    rows = sorted(row for row in problems if row[2] != NOT_ON_DISK)
    absent = sorted(row for row in problems if row[2] == NOT_ON_DISK)
    rows += absent[:LISTED]
    if len(absent) > LISTED:
        rows.append((f"({len(absent) - LISTED} more)", "", NOT_ON_DISK))
    return rows


def run(
    *,
    kind: str,
    files: Sequence[Path],
    lists: Sequence[Path],
    shards: int,
    archive: str,
    simulated: bool = False,
    output: Path,
    mismatches: Path,
) -> None:
    """Lists the patches that a split names and the archive holds, ordered by ``patch_id``.

    Args:
        kind: the archive's kind.
        files: the archive's folder of Sentinel-1 patches, or the lists of the members of its tar files.
        lists: the files that say which patches belong to which split, in the order of the archive's kind.
        shards: how many shards the patches are spread over.
        archive: the archive's name, kept in the metadata.
        simulated: whether the patches are drawn at random, kept in the metadata.
        output: a row a patch: its ids, split, country, date, place, shard, and where its files lie.
        mismatches: CSV of the patches in a split but not in the archive, in the archive but in no split, or twice
            in splits.

    Raises:
        UserError: a split is left without a patch.
    """
    module = registry.load("archives", kind)
    with replacing(output) as part:
        splits = Splits()
        for entry in module.entries(lists):
            splits.add(entry)
        folders, problems = _by_patch(module, splits, folders_of(files, module.DEPTH))
        found = sorted(splits.members.keys() & folders.keys())
        if not found:
            raise UserError(_nothing_found(module, splits, files))
        problems += splits.mismatches
        absent = sorted(splits.members.keys() - folders.keys())
        problems += [(p, splits.members[p].split, NOT_ON_DISK) for p in absent]
        named = splits.members.keys() | {patch_id for patch_id, _, _ in problems}
        problems += [(p, "", "in no split") for p in folders.keys() - named]
        counts_of = Counter(TWICE if problem.startswith(TWICE) else problem for _, _, problem in problems)
        for problem, count in counts_of.most_common():
            log.warning("%d patches: %s", count, problem)
        entries = [splits.members[patch_id] for patch_id in found]
        counts = Counter(entry.split for entry in entries)
        for split in SPLITS:
            log.info("%s: %d patches", split, counts[split])
            if not counts[split]:
                raise UserError(
                    f"{files[0]} holds no patch of {split}: do the archive and its split files belong together?"
                )
        metadata = {
            "archive": archive,
            "simulated": simulated,
            "shards": shards,
            "mismatches": dict(counts_of),
            "places_from": NAMES,
            "bands": stored(_band_files(registry.kind("archives", kind).facts["paths"])),
        }
        centres = grid.centres(found)
        said = [entry.country for entry in entries]
        of_place = said if all(said) else countries(centres)
        columns = [
            found,
            [entry.s2_id for entry in entries],
            [entry.split for entry in entries],
            [grid.scene_of(patch_id) for patch_id in found],
            [own or there for own, there in zip(said, of_place, strict=True)],
            [entry.date for entry in entries],
            *centres.T,
            [shard_of(patch_id, shards) for patch_id in found],
            [folders[patch_id] for patch_id in found],
            [module.folder_of("s2", entry.patch_id, entry.s2_id) for entry in entries],
            *(places := footprints(grid.footprints(found))),
        ]
        # What is not known is null, not NaN.
        arrays = [pa.array(column, type=f.type, from_pandas=True) for column, f in zip(columns, SCHEMA, strict=True)]
        write_csv(mismatches, ("patch_id", "split", "problem"), _listed(problems))
        schema = geographic(with_metadata(SCHEMA, metadata), described(places[1], polygons=True))
        pq.write_table(pa.table(arrays, schema), part, compression="zstd")
