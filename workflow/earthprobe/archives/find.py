"""Where an archive's files lie on the disk, or would be fetched to; importing this costs nothing.

The Snakefile asks every time it is parsed, so only names are looked at and no file is read.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.storage.tar_names import tar_name

LOOKED_AT = 100
"""Names in a folder that are looked at, to say what was found in the place of an archive."""


class Tar(NamedTuple):
    """A tar archive of a sensor's patches, its parts in their order."""

    sensor: str
    files: Sequence[Path]


def patch_files(archive: Mapping[str, Any], sensor: str) -> Path | list[list[Path]]:
    """Where a sensor's patches are: in a folder, or in tar archives, each with its parts in their order.

    Args:
        archive: ``archive`` of the configuration.
        sensor: ``s1`` or ``s2``.

    Raises:
        UserError: they are nowhere.
    """
    kind = archive["kind"]
    top, published = _names(kind, sensor)
    roots = _roots(archive)
    if archive["fetch"]:
        if not roots[0].is_dir() or not ((roots[0] / top).is_dir() or _tars(roots[0], kind, sensor)):
            return [[roots[0] / published]]
    elif not roots[0].is_dir():
        for path in roots:
            if not path.is_file():
                raise UserError(f"config: archive.root: {path} does not exist")
            if tar_name(path) is None:
                raise UserError(f"config: archive.root: {path} is neither a folder nor a .tar, .tar.gz or .tar.zst")
        optical = [path for path in roots if _is_tar_of(path, kind, "s2")]
        chosen = optical if sensor == "s2" else [path for path in roots if path not in optical]
        if not chosen:
            raise UserError(
                f"config: archive.root: no tar archive of {top} among {', '.join(map(str, roots))}: add it, under"
                f" the name {published.partition('.tar')[0]}.tar, .tar.gz or .tar.zst"
            )
        return _archives(chosen)
    (root,) = roots
    if (root / top).is_dir():
        return root / top
    if found := _archives(_tars(root, kind, sensor)):
        if len(found) > 1:
            names = ", ".join(files[0].name for files in found)
            raise UserError(f"config: archive.root: {root} holds {names}: rename all but the one to read")
        return found
    for other_kind in _published_kinds():
        if other_kind == kind:
            continue
        other, _ = _names(other_kind, sensor)
        if (root / other).is_dir() or _tars(root, other_kind, sensor):
            raise UserError(f"config: archive.root: {root} holds {other}, which is {other_kind}, and no {top}")
    stem = published.partition(".tar")[0]
    raise UserError(
        f"config: archive.root: {root} holds neither the folder {top} nor {stem}.tar, .tar.gz or .tar.zst"
        f"{_found_instead(root, top, sensor)}"
    )


def _found_instead(root: Path, top: str, sensor: str) -> str:
    """What lies where an archive was looked for: it itself, one level off, or its patches under another name."""
    if root.name == top or _holds_patches(root, sensor):
        return f": found patches in {root} itself{_name_of(root, top)}: give the folder above it"
    readable = os.R_OK | os.X_OK  # lost+found is not
    folders = [path for path in sorted(root.iterdir())[:LOOKED_AT] if path.is_dir() and os.access(path, readable)]
    for folder in folders:
        if (folder / top).is_dir():
            return f": found {folder / top}: give {folder}"
    for folder in folders:
        if _holds_patches(folder, sensor):
            return f": found patches in {folder}{_name_of(folder, top)}"
    return ""


def _name_of(folder: Path, top: str) -> str:
    return "" if folder.name == top else f", which must be called {top}"


def _holds_patches(folder: Path, sensor: str) -> bool:
    with os.scandir(folder) as entries:
        return any(re.match(rf"{sensor.upper()}[AB]_", entry.name) for entry in islice(entries, LOOKED_AT))


def _roots(archive: Mapping[str, Any]) -> list[Path]:
    root = archive["root"]
    roots = [Path(path) for path in ([root] if isinstance(root, str) else root)]
    for path in roots:
        if {"{", "}"} & set(str(path)):
            raise UserError(
                f"config: archive.root: {path}: Snakemake takes {{ and }} for wildcards: rename that folder"
            )
    if archive["fetch"]:
        if not isinstance(root, str) or roots[0].is_file():
            raise UserError("config: archive.root: give the folder to fetch into")
    elif not roots[0].exists():
        top, _ = _names(archive["kind"], "s1")
        raise UserError(f"config: archive.root: {roots[0]} does not exist: give the folder of {top}, or its tar file")
    if len(roots) > 1 and any(path.is_dir() for path in roots):
        raise UserError("config: archive.root: give one folder, or tar archives, but not both")
    return roots


def _tars(root: Path, kind: str, sensor: str) -> list[Path]:
    return [path for path in root.iterdir() if _is_tar_of(path, kind, sensor)]


def _is_tar_of(path: Path, kind: str, sensor: str) -> bool:
    """Whether a file is a tar archive, or a part of one, with the published name or the name of its top folder."""
    top, published = _names(kind, sensor)
    stems = (published.partition(".tar")[0], top)
    return (tar_name(path) or "").startswith(tuple(f"{stem}." for stem in stems))


def _archives(files: Iterable[Path]) -> list[list[Path]]:
    """Tar archives by their names, each with its parts in their order, or without those if it is there whole."""
    archives: dict[tuple[Path, str], list[Path]] = {}
    for file in sorted(files, key=lambda file: (file.parent, len(file.name), file.name)):
        archives.setdefault((file.parent, str(tar_name(file))), []).append(file)
    whole = {key: [folder / name] for key in archives for folder, name in [key] if folder / name in archives[key]}
    return list((archives | whole).values())


def lists(archive: Mapping[str, Any]) -> list[Path]:
    """The files that say which patches belong to which split, in the order of the archive's kind.

    Raises:
        UserError: one is missing.
    """
    facts = registry.kind("archives", archive["kind"]).facts
    reben = _reben(archive)
    if archive.get("split") == "reben":
        return reben
    extra = [[name] for option, name in facts.get("extra_lists", {}).items() if archive[option]]
    return [
        _beside(archive, *names, what=facts.get("what_lists_are", "the list")) for names in [*facts["lists"], *extra]
    ] + reben


def _reben(archive: Mapping[str, Any]) -> list[Path]:
    """The table of reBEN, where patches of v1 take their country or split from it."""
    path = archive.get("reben")
    if path is None:
        if archive.get("split") == "reben":
            raise UserError("config: archive.reben: split: reben needs reBEN's metadata.parquet: give its path")
        return []
    if not Path(path).is_file():
        raise UserError(f"config: archive.reben: {path} does not exist: give reBEN's metadata.parquet")
    return [Path(path)]


def _names(kind: str, sensor: str) -> tuple[str, str]:
    """The top folder and the tar archive in which a sensor's patches are published."""
    facts = registry.kind("archives", kind).facts
    return facts["folders"][sensor], facts["tars"][sensor]


def _published_kinds() -> list[str]:
    return [kind for kind in registry.names("archives") if registry.kind("archives", kind).facts["tars"]]


def _beside(archive: Mapping[str, Any], *names: str, what: str) -> Path:
    folders = list(dict.fromkeys(root.parent if root.is_file() else root for root in _roots(archive)))
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    if archive["fetch"]:
        return folders[0] / names[0]
    raise UserError(f"config: archive.root: {folders[0]} lacks {what} {' or '.join(names)}: put it there")
