"""Say whether a finished run has the same scores as a manifest, to the byte, and what differs between the two runs."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from earthprobe.errors import UserError
from earthprobe.storage import digest
from earthprobe.storage.files import sha256
from earthprobe.storage.manifests import HASHED, Manifest, read_manifest

Place = tuple[str, ...]
"""The keys that lead to a value of a manifest."""

NO_DIFFERENCE = ("written", "command", "seeds")
"""What says nothing of its own: seeds stand in the configuration, too."""

MOST = 3  # names that are listed one by one


def run(results: Path, *, manifest: Path | None = None) -> None:
    """Hashes the files of a run anew, compares them with a manifest, and prints what differs.

    Args:
        results: the run's folder, ``results/<archive>``.
        manifest: the ``manifest.json`` to compare with, of another run; without it that of the run itself, which tells
            whether its files are still what they were.

    Raises:
        UserError: a row's scores differ or are missing on either side, or a manifest cannot be read.
    """
    mine = results / "manifest.json"
    other = manifest or mine
    there, noted = read_manifest(other), read_manifest(mine)
    here = rehashed(noted, results)
    before, now = hashes(noted), hashes(here)
    if since := [place for place in now if now[place] != before[place]]:
        print(f"No longer what {mine} says: {_listed([_entries(noted)[place]['file'] for place in since])}.")
    theirs, ours = ({place: found for place, found in hashes(m).items() if place[0] == "scores"} for m in (there, here))
    rows = list(theirs | ours)
    differ = [row for row in rows if theirs.get(row) != ours.get(row) or ours.get(row) is None]
    if differ:
        print(f"The scores of {len(differ)} of {len(rows)} rows are not those of {other}:")
        print("\n".join(f"  {row[1]}{_absent(theirs.get(row), ours.get(row))}" for row in differ))
    else:
        print(f"The scores of all {len(rows)} rows are those of {other}, to the byte.")
    if lines := list(differences(there, here)):
        print("What differs, there and here:")
        print("\n".join(f"  {line}" for line in lines))
    else:
        print("Nothing else differs.")
    if differ:
        raise UserError(f"{results}: the scores of {len(differ)} of {len(rows)} rows differ; the lines above say which")


def _entries(manifest: Manifest) -> dict[Place, dict[str, Any]]:
    """What has a hash in a manifest, by its place."""
    parts = [part for part in HASHED if part != "index"]
    found: dict[Place, dict[str, Any]] = {("index",): manifest["index"]}
    return found | {(part, name): entry for part in parts for name, entry in manifest[part].items()}


def hashes(manifest: Manifest) -> dict[Place, str | None]:
    """The hashes of a manifest."""
    return {place: entry["sha256"] for place, entry in _entries(manifest).items()}


def rehashed(manifest: Manifest, results: Path) -> Manifest:
    """A manifest with the hashes that its files have now: null where one is gone, but of an input what was noted."""
    found: Manifest = json.loads(json.dumps(manifest))
    for place, entry in _entries(found).items():
        is_input = place[0] == "inputs"
        path = Path(entry["file"]) if is_input else results / entry["file"]
        if path.is_file():
            entry["sha256"] = sha256(path) if is_input else digest.of(path)
        elif not is_input:
            entry["sha256"] = None
    return found


def differences(there: Manifest, here: Manifest) -> Iterator[str]:
    """A line for each thing that two manifests do not share, but for the scores themselves."""
    unclean = [where for where, m in (("there", there), ("here", here)) if m["earthprobe"].get("clean") is False]
    if unclean:
        yield f"the tree had changes {' and '.join(unclean)} that no commit holds"
    old, new = dict(_flat(there)), dict(_flat(here))
    alike: dict[tuple[str, str, str], list[str]] = {}
    for place in dict.fromkeys([*old, *new]):
        was, now = (json.dumps(m[place], ensure_ascii=False) if place in m else "nothing" for m in (old, new))
        if was == now:
            continue
        # What is of many files alike is said once.
        of_file = place[0] in HASHED and len(place) > 2
        what, name = (place[2:], ".".join(place[:2])) if of_file else (place, "")
        alike.setdefault((".".join(what), was, now), []).append(name)
    for (key, was, now), names in alike.items():
        yield f"{key}{f' of {_listed(names)}' if names[0] else ''}: {was}, {now}"


def _flat(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """The values of a manifest by their places, without those that make no difference."""
    if place[:1] and place[0] in NO_DIFFERENCE:
        return
    if place in {("earthprobe", "clean")} or (place[:1] == ("scores",) and place[2:] == ("sha256",)):
        return
    if place[-1:] == ("file",) and place[0] in HASHED:
        return
    if place[-1:] == ("made_on",):
        for key in ("cpu", "gpu", "threads"):
            yield (*place[:-1], key), sorted({str(machine.get(key)) for machine in value or ()})
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, (*place, str(key)))
    else:
        yield place, value


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= MOST else f"{', '.join(names[:MOST])} and {len(names) - MOST} more"


def _absent(there: str | None, here: str | None) -> str:
    if there is None:
        return " (only here)"
    return " (only there)" if here is None else ""
