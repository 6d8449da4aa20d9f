import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from earthprobe import __version__, provenance, registry
from earthprobe.cli import main
from earthprobe.config import resolve
from earthprobe.provenance import Commit
from earthprobe.steps.cite import (
    ALWAYS,
    CALIBRATION,
    PICTURES,
    PROTOCOLS,
    REFERENCES,
    REPEATS,
    of_entry,
    references,
    used,
)
from earthprobe.storage.manifests import HASHED

from tests.clone import DOFA, TINY
from tests.conftest import REPOSITORY

KINDS = [registry.kind(room, name) for room in registry.ROOMS for name in registry.names(room)]
NOTHING = {"table", "statistics", "location", "file", "callable"}
"""Kinds that rest on nobody's publication, or on what their owner alone knows; each says so beside its empty list."""


def keys_of(cite: Any) -> list[str]:
    return [key for keys in cite.values() for key in keys] if isinstance(cite, dict) else cite


@pytest.mark.parametrize("kind", KINDS, ids=[f"{kind.room}/{kind.name}" for kind in KINDS])
def test_every_kind_says_what_to_cite(kind: registry.Kind):
    keys = keys_of(kind.facts["cite"])
    assert bool(keys) == (kind.name not in NOTHING)
    assert set(keys) <= references().keys()
    if not keys:
        assert re.search(r"^cite: \[\]  # \w", kind.module.with_name(f"{kind.name}.yaml").read_text(), re.MULTILINE)


FIELDS = {
    "title", "author", "year", "journal", "booktitle", "volume", "number", "pages", "doi", "eprint", "archiveprefix",
    "url", "version",
}  # fmt: skip
NEEDED = {
    "article": {"journal", "year"},
    "inproceedings": {"booktitle", "year"},
    "misc": set(),
    "software": {"version"},
}


def test_the_references_are_bibtex():
    text = REFERENCES.read_text()
    entries = references()
    assert len(entries) == len(re.findall("^@", text, re.MULTILINE))
    for key, entry in entries.items():
        head, *lines, last = entry.splitlines()
        kind = re.fullmatch(r"@(\w+)\{(\w+),", head)
        assert kind, entry
        assert kind[2] == key
        assert last == "}"
        fields = dict(re.fullmatch(r"  (\w+) = \{(.+)\},", line).groups() for line in lines)  # type: ignore[union-attr]
        assert len(fields) == len(lines), key
        assert {"title", "author"} | NEEDED[kind[1]] <= fields.keys() <= FIELDS, key
        for value in fields.values():
            assert value.count("{") == value.count("}"), key
            assert value.isascii(), f"{key}: {value}"
        assert re.fullmatch(r"(19|20)\d\d", fields.get("year", "2000"))
        assert re.fullmatch(r"10\.\d{4,5}/\S+", fields.get("doi", "10.1234/x"))
        assert re.fullmatch(r"\d{4}\.\d{4,5}", fields.get("eprint", "2000.00000"))
        assert ("eprint" in fields) == (fields.get("archiveprefix") == "arXiv")
        if "doi" not in fields and "eprint" not in fields:
            assert key in ("earthprobe", "corine", "pedregosa2011sklearn", "holm1979procedure")


def test_every_reference_is_cited_by_something():
    cited = {key for kind in KINDS for key in keys_of(kind.facts["cite"])}
    cited |= {"earthprobe", *ALWAYS, *CALIBRATION, *REPEATS, "holm1979procedure", *PICTURES}
    cited |= {key for keys in PROTOCOLS.values() for key in keys}
    assert references().keys() == cited
    known = json.dumps(registry.kind("models", "dofa").facts) + Path(registry.PACKAGE / "config.yaml").read_text()
    assert all(protocol in known for protocol in PROTOCOLS)


PUBLISHED = registry.kind("models", "torchgeo").facts
WEIGHTS = [(model, name) for model, found in PUBLISHED["published"].items() for name in found]
WEIGHTS += [(model, name) for model, facts in PUBLISHED["others"].items() for name in facts["weights"]]


@pytest.mark.parametrize(("model", "weights"), WEIGHTS)
def test_weights_are_of_the_publication_that_torchgeo_names(model: str, weights: str):
    from torchgeo.models import get_model_weights

    publication = get_model_weights(model)[weights].meta["publication"]
    keys = list(of_entry(registry.kind("models", "torchgeo"), {"model": model, "weights": weights}))
    assert len(keys) == 1
    assert f"eprint = {{{publication.rsplit('/', 1)[-1]}}}" in references()[keys[0]]


def test_what_a_study_uses():
    torchgeo = {"kind": "torchgeo", "model": "resnet50", "weights": "SENTINEL1_ALL_MOCO", "bands": ["VV", "VH"]}
    features = {"dofa": DOFA, "moco": torchgeo, "untrained": torchgeo | {"weights": "random:0"}}
    keys = list(used(resolve(TINY | {"features": features})))
    assert keys[:3] == ["clasen2024reben", "xiong2024dofa", "wang2023ssl4eo"]
    assert keys[3:6] == ["breiman2001forests", "liu1989lbfgs", "loshchilov2019adamw"]
    assert set(ALWAYS) < set(keys)
    assert keys.count("wang2023ssl4eo") == 1


def test_what_an_entry_adds():
    models, archive = registry.kind("models", "torchgeo"), registry.kind("archives", "bigearthnet-v1")
    assert list(of_entry(models, {"model": "croma_base", "weights": "random:0"})) == ["fuller2023croma"]
    assert list(of_entry(models, {"model": "resnet18", "weights": "random:0"})) == []
    varied = {"model": "resnet50", "vary": {"weights": ["SENTINEL1_ALL_MOCO", "SENTINEL1_ALL_DECUR"]}}
    assert list(of_entry(models, varied)) == ["wang2023ssl4eo", "wang2024decur"]
    assert list(of_entry(registry.kind("models", "statistics"), {"protocol": "copernicus-bench"})) == [
        "wang2025copernicusfm"
    ]
    assert "clasen2024reben" not in of_entry(archive, {"split": "published"})
    assert "clasen2024reben" in of_entry(archive, {"split": "reben"})


def test_a_run_is_cited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(provenance, "commit", lambda: Commit("1a2b", True))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(resolve(TINY)))
    assert main(["cite", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE) == list(
        dict.fromkeys(["earthprobe", *used(resolve(TINY))])
    )
    assert f"version = {{{__version__}, commit 1a2b}}" in text
    # The manifest says which version it was, and is enough by itself.
    parts: dict[str, Any] = {part: {} for part in HASHED}
    manifest = {"earthprobe": {"version": "0.9", "commit": None}, "configuration": resolve(TINY), **parts}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for place in (tmp_path, tmp_path / "manifest.json"):
        assert main(["cite", str(place)]) == 0
        assert capsys.readouterr().out == text.replace(f"{__version__}, commit 1a2b", "0.9")


def test_without_a_run_earthprobe_itself_is_cited(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["cite"]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE) == ["earthprobe"]
    assert "VERSION" not in text
    assert main(["cite", str(tmp_path)]) == 1
    assert "config.yaml is missing: run snakemake first" in capsys.readouterr().err


CFF = {
    "type", "title", "authors", "year", "journal", "conference", "volume", "issue", "start", "end", "doi", "url",
    "notes",
}  # fmt: skip
"""Of CFF 1.2.0, what a reference here may have."""


def plain(text: str) -> str:
    """A title without BibTeX's braces and escapes."""
    return re.sub(r"[{}\\]", "", text)


def test_the_citation_file_agrees_with_the_references():
    """By the fields of CFF 1.2.0, and by what `earthprobe cite` prints."""
    file = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert file["cff-version"] == "1.2.0"
    assert file["version"] == __version__
    assert {"message", "title", "authors"} <= file.keys()
    titles = {plain(entry.split("title = {")[1].split("},\n")[0]).lower(): entry for entry in references().values()}
    for reference in file["references"]:
        assert {"type", "title", "authors"} <= reference.keys() <= CFF
        assert reference["type"] in ("article", "conference-paper", "data", "report")
        for author in reference["authors"]:
            assert author.keys() in ({"name"}, {"family-names", "given-names"})
        if reference["type"] == "report":  # of which no more is known
            continue
        entry = titles[reference["title"].lower()]
        assert reference.get("doi", "") in entry
        if "family-names" in reference["authors"][0]:
            names = re.search(r"author = \{(.*)\},", entry)
            assert names
            assert len(names[1].split(" and ")) == len(reference["authors"])


def test_means_over_seeds_folds_and_draws_owe_their_intervals_to_another():
    config = {
        "archive": {"name": "x", "kind": "simulated"},
        "features": {"pixels": {"kind": "statistics", "bands": ["VV"]}},
        "probes": {"mlp": {"kind": "mlp"}},
    }
    assert not set(REPEATS) & set(used(resolve(config)))
    for more in ({"probes": {"mlp": {"kind": "mlp", "seeds": 2}}}, {"label_budgets": [10, "all"]}):
        assert set(REPEATS) <= set(used(resolve(config | more)))
