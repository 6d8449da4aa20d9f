"""Write down where the numbers of a run come from: what a paper cites, and `earthprobe verify` compares."""

import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import Parameter

from earthprobe import __version__, provenance
from earthprobe.provenance import COMMAND, PACKAGE
from earthprobe.storage import digest
from earthprobe.storage.files import sha256, write_json
from earthprobe.storage.parquet import read_metadata

LOCK = PACKAGE.parents[1] / "envs/requirements.lock"

MADE_BY = {"version": "earthprobe_version", "commit": "earthprobe_commit", "made_on": "made_on"}
"""What the metadata of features and scores say of their origin, by its name here."""

OF_FEATURES = ("kind", "model", "weights", "precision", "device")


def run(
    *,
    config: Path,
    inputs: Sequence[Path] = (),
    index: Path,
    weights: Sequence[Path] = (),
    features: Sequence[Path],
    scores: Sequence[Path],
    tables: Sequence[Path],
    command: Annotated[str, Parameter(env_var=COMMAND)] = "",
    output: Path,
) -> None:
    """Writes the manifest of a run as JSON; memory does not grow with its files.

    Args:
        config: the run's ``config.yaml``.
        inputs: the lists of patches, or the table.
        index: ``index.parquet``.
        weights: of each model that has any, ``weights.safetensors``.
        features: the merged embeddings of each feature set.
        scores: of each row of the tables.
        tables: as CSV.
        command: the command line of the run.
        output: ``manifest.json`` in the folder of the run: ``earthprobe`` (version, commit, whether that is all),
            ``command``, ``environment``, ``machine`` (of this step; features and scores name their own), ``seeds``,
            ``configuration``, and the SHA-256 of ``inputs`` and ``tables`` (of the files), ``index``, ``weights``,
            ``features`` and ``scores`` (of the values in them).
    """
    configuration = yaml.safe_load(config.read_text(encoding="utf-8"))
    commit = provenance.commit()
    root = output.parent

    def hashed(path: Path) -> dict[str, Any]:
        return {"file": path.relative_to(root).as_posix(), "sha256": digest.of(path)}

    write_json(
        output,
        {
            "earthprobe": {
                "version": __version__,
                "commit": commit.name if commit else None,
                "clean": commit.clean if commit else None,
            },
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "environment": {
                "python": platform.python_version(),
                "os": platform.platform(),
                "lock": sha256(LOCK) if LOCK.is_file() else None,
                "packages": packages(),
            },
            "machine": {"cpu": provenance.cpu(), "cores": os.cpu_count(), "gpus": provenance.gpus()},
            "seeds": dict(seeds_of(configuration)),
            "configuration": configuration,
            "inputs": {path.name: {"file": str(path), "sha256": sha256(path)} for path in inputs},
            "index": hashed(index),
            "weights": {path.parent.name: hashed(path) for path in weights},
            "features": {path.stem: hashed(path) | _origin(path, OF_FEATURES) for path in features},
            "scores": {path.parent.relative_to(root).as_posix(): hashed(path) | _origin(path) for path in scores},
            "tables": {path.stem: hashed(path) for path in tables},
        },
    )


def _origin(path: Path, more: Sequence[str] = ()) -> dict[str, Any]:
    """What made a file, as it says itself; what it does not say is null."""
    said = read_metadata(path)
    return {key: said.get(key) for key in more} | {name: said.get(key) for name, key in MADE_BY.items()}


def packages() -> dict[str, str]:
    """The versions of what earthprobe needs, as far as it is installed; without what only its developers need."""
    found = {}
    for requirement in requires("earthprobe") or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if 'extra == "dev"' not in requirement:
            try:
                found[name] = version(name)
            except PackageNotFoundError:  # of an extra
                continue
    return found


def seeds_of(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The seeds of a configuration, by where they stand: that of random weights among them, and how many there are."""
    if not isinstance(part, Mapping):
        return
    for key, value in part.items():
        place = ".".join((*path, str(key)))
        if key == "seed" or (key == "seeds" and value != 1):
            yield place, value
        elif key == "weights" and (drawn := re.fullmatch(r"random:(\d+)", str(value))):
            yield place, int(drawn[1])
        else:
            yield from seeds_of(value, (*path, str(key)))
