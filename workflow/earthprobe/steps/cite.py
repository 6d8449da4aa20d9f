"""Print the BibTeX of all that a run used."""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from earthprobe import __version__, provenance, registry
from earthprobe.errors import UserError
from earthprobe.storage.manifests import read_manifest

REFERENCES = registry.PACKAGE / "resources/references.bib"

OWN = "earthprobe"

ALWAYS = ("molder2021snakemake", "stewart2022torchgeo", "pedregosa2011sklearn", "field2007clusters", "efron1987bca")
"""What makes every run: the workflow, labels and metrics, and the intervals."""

CALIBRATION = ("guo2017calibration", "kull2019dirichlet")
REPEATS = ("rao1988resampling",)
"""Behind the intervals of means over seeds, folds dealt several times, and draws of train patches."""

PICTURES = (
    "mcinnes2018umap",
    "northcutt2021confident",
    "thyagarajan2022multilabel",
    "blumenstiel2024retrieval",
)
"""Of every run, too: layouts, doubtful labels and neighbours."""

PROTOCOLS = {"copernicus-bench": ("wang2025copernicusfm",), "torchgeo-bench": ()}
"""By how other benchmarks do it; the second has published no article that is known here."""


def run(results: Path | None = None) -> None:
    """Prints BibTeX entries, each once: of a run by archive, models, probes and methods, else earthprobe's own.

    Args:
        results: the run's folder, ``results/<archive>``, or its ``manifest.json``.

    Raises:
        UserError: there is no run.
    """
    commit = provenance.commit()
    made_by = {"version": __version__, "commit": commit.name if commit else None}
    keys = [OWN]
    if results is not None:
        manifest = results if results.is_file() else results / "manifest.json"
        if manifest.is_file():
            made_by = read_manifest(manifest)["earthprobe"]
            config = read_manifest(manifest)["configuration"]
        else:
            config = _stored(results / "config.yaml")
        keys += used(config)
    known = references()
    version = ", commit ".join(filter(None, (made_by["version"], made_by["commit"])))
    print("\n\n".join(known[key] for key in dict.fromkeys(keys)).replace("VERSION", version))


def references() -> dict[str, str]:
    """The entries that there are, by their keys."""
    text = REFERENCES.read_text(encoding="utf-8")
    return {entry[1]: entry[0] for entry in re.finditer(r"^@\w+\{(\w+),\n.*?^\}", text, re.MULTILINE | re.DOTALL)}


def used(config: Mapping[str, Any]) -> Iterator[str]:
    """The keys of what a configuration uses, that of the archive first.

    Args:
        config: with all defaults.
    """
    entries = [("archives", config["archive"])]
    entries += [("models", entry) for entry in config["features"].values()]
    entries += [("probes", entry) for entry in config["probes"].values()]
    for room, entry in entries:
        yield from of_entry(registry.kind(room, entry["kind"]), entry)
    yield from (*ALWAYS, *CALIBRATION)
    folds = isinstance(split := config["archive"].get("split"), Mapping) and split.get("by") == "folds"
    if folds or config.get("label_budgets") or any(entry.get("seeds", 1) > 1 for _, entry in entries):
        yield from REPEATS
    # Two rows or more are compared.
    yield from ("holm1979procedure", *PICTURES)


def of_entry(kind: registry.Kind, entry: Mapping[str, Any]) -> Iterator[str]:
    """The keys of an entry of a configuration: those of its kind, and what its model, weights and protocol add."""
    cite = kind.facts.get("cite", [])
    chosen = [str(value) for key in ("model", "weights", "protocol", "split") for value in _values(entry, key)]
    if isinstance(cite, Mapping):
        for pattern, keys in cite.items():
            if fnmatch.filter(chosen, pattern):
                yield from keys
    else:
        yield from cite
    for protocol in _values(entry, "protocol"):
        yield from PROTOCOLS.get(protocol, ())


def _values(entry: Mapping[str, Any], key: str) -> list[Any]:
    """What an option is, or varies over."""
    return [entry.get(key), *entry.get("vary", {}).get(key, ())]


def _stored(path: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run snakemake first, or give the manifest.json of a run") from error
    return found
