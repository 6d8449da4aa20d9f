"""What the pages of the documentation say, held against the code and the schema."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from earthprobe import registry
from earthprobe.cli import app
from earthprobe.config import entry_of, schema
from earthprobe.evaluation import calibration, clusters, controls, intervals, metrics, resampling, runs, thresholds
from earthprobe.models import location, rcf, statistics
from earthprobe.models import protocols as of_pixels
from earthprobe.probes import knn
from earthprobe.probes import protocols as of_probes
from earthprobe.steps.table import columns_of

from tests.conftest import REPOSITORY

PAGES = sorted(
    [
        *REPOSITORY.glob("docs/*.md"),
        *(REPOSITORY / name for name in ("README.md", "config/README.md", "CONTRIBUTING.md")),
    ]
)


def page(name: str) -> str:
    return (REPOSITORY / "docs" / f"{name}.md").read_text()


def section(title: str, name: str = "method") -> str:
    """A page from a heading to the next of its level."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page(name), re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def named(text: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


KNOWN = [metric for known in (*metrics.METRICS_OF.values(), *metrics.MORE_OF.values()) for metric in known]
SUFFIX = "_global|_per_class|_occurring|_tempered"


@pytest.mark.parametrize("name", sorted({metric.name for metric in KNOWN}))
def test_every_metric_is_explained(name: str):
    explained = named(section("Metrics") + section("Calibration"))
    assert re.sub(SUFFIX, "", name) in explained
    for suffix in re.findall(SUFFIX, name):
        assert f"...{suffix}" in explained


def test_every_column_of_a_class_is_explained():
    assert named(section("Metrics")) >= {*metrics.PER_CLASS, "ece"}


def test_the_mean_over_batches_is_explained():
    assert metrics.BATCHED in named(section("Probes and protocols"))
    assert f"test batches of {metrics.BATCH}" in section("Probes and protocols")


@pytest.mark.parametrize("rule", runs.RULES[1:])
def test_every_rule_of_a_threshold_is_explained(rule: str):
    assert f"..._{rule}" in named(section("Thresholds"))
    assert f"fewer than {thresholds.FEWEST} positives" in section("Thresholds")


def test_calibration_is_explained():
    text = section("Calibration")
    assert f"{calibration.BINS} bins" in text
    assert f"1 / {calibration.HOTTEST:g} and {calibration.HOTTEST:g}" in text
    assert f"{calibration.NEAREST:.0e}".replace("e-06", "e-6") in text


def test_every_interval_is_explained():
    text = section("Intervals")
    assert named(text) >= {*intervals.CORRECTED, *(set(intervals.SHIFTED) - {"ece_tempered"})}
    assert named(text) >= {*clusters.NAMES, "auto"}
    assert f"{intervals.DRAWS:,} times" in text
    assert f"Intervals hold {100 * intervals.LEVEL:.0f} %" in text
    assert f"at least {clusters.FEWEST}" in text
    assert f"{resampling.MOST} parts" in text


@pytest.mark.parametrize("name", [*controls.CONTROLS, "permuted"])
def test_every_control_is_explained(name: str):
    assert name in named(section("Controls"))


def test_controls_have_the_figures_of_the_code():
    text = section("Controls")
    assert f"the {controls.NEIGHBOURS} nearest train patches" in text
    few = controls.PATCHES_OF_PRIOR
    assert f"(n_gc + {few} prior_c) / (n_g + {few})" in text


PROBES = registry.names("probes")


@pytest.mark.parametrize("kind", PROBES)
def test_every_probe_is_explained(kind: str):
    assert kind in named(section("Probes and protocols"))
    assert kind in named(section("Models and probes", "start"))


def test_neighbours_have_the_figures_of_the_code():
    text = section("Probes and protocols")
    for metric, k in knn.K.items():
        assert f"`metric: {metric}`, k = {k}" in text


@pytest.mark.parametrize("kind", registry.names("models"))
def test_every_kind_of_feature_set_is_listed(kind: str):
    assert kind in named(section("Models and probes", "start"))


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in of_probes.PROTOCOLS.items() for kind in kinds]
)
def test_every_protocol_of_a_probe_is_explained(name: str, kind: str):
    rows = [line for line in section("Probes and protocols").splitlines() if line.startswith(f"`{name}`")]
    assert [row for row in rows if row.split(" | ")[1] == f"`{kind}`"]


@pytest.mark.parametrize("name", of_pixels.PROTOCOLS)
def test_every_protocol_of_pixels_is_explained(name: str):
    (row,) = [line for line in section("Pixels").splitlines() if line.startswith(f"`{name}`")]
    protocol = of_pixels.PROTOCOLS[name]
    assert named(row) >= set(protocol.kinds)
    assert str(protocol.image_size) in row
    for band in ("VV", "VH"):
        if protocol.figures:
            mean, std = protocol.figures[band]
            assert f"{mean} +- {std} of {band}" in row


def normalisations() -> Iterator[tuple[str, str]]:
    """Each kind of model with a way of normalising that it takes."""
    shared = schema()["$defs"]
    for kind in registry.names("models"):
        option = registry.kind("models", kind).facts["options"].get("normalization")
        if option is not None:
            part = shared[option["$ref"].removeprefix("#/$defs/")] | option
            yield from ((kind, way) for way in part["enum"])


@pytest.mark.parametrize(("kind", "way"), list(normalisations()))
def test_every_normalisation_is_explained(kind: str, way: str):
    text = section("Pixels")
    assert kind in named(text)
    assert f"`native` of `{kind}`" in text if way == "native" else f"`{way}`" in text


def test_options_of_vectors_are_explained():
    text = section("Vectors")
    shared = schema()["$defs"]
    assert named(text) >= {*shared["pooling"]["enum"], "layer: n", "pca: k"}
    assert named(text) >= {f"store: {how}" for how in shared["store"]["enum"] if how != "float32"}
    for module in (statistics, rcf, location):
        assert module.__name__.rpartition(".")[2] in named(text)
    default = registry.kind("models", "statistics").facts["options"]["percentiles"]["default"]
    assert f"percentiles {', '.join(map(str, default[:-1]))} and {default[-1]}" in text
    assert f"{registry.kind('models', 'rcf').facts['options']['features']['default'] // 2} filters" in text


@pytest.mark.parametrize("by", registry.kind("archives", "table").facts["options"]["split"]["properties"]["by"]["enum"])
def test_every_split_of_a_table_is_explained(by: str):
    assert f"`{{by: {by}" in section("Splits and folds", "archives")


@pytest.mark.parametrize("task", metrics.METRICS_OF)
def test_every_column_of_a_table_is_explained(task: str):
    others = {name for name in columns_of(task) if not any(name.startswith(metric.name) for metric in KNOWN)}
    assert named(section("Columns of a table", "results")) >= others


def outputs() -> set[str]:
    """The files and folders that rules write, right below the results."""
    text = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    return {name for name in re.findall(r'"<results>/([^/"]+)', text) if not name.startswith("{")}


def test_every_result_file_is_listed():
    listed = " ".join(named(section("What lies where", "results")))
    internal = {"umap", "archive"}  # what a figure is drawn from, and what the demo simulates
    assert [name for name in sorted(outputs() - internal) if name.split("_{")[0] not in listed] == []


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """The blocks of code of all pages, with their page."""
    for path in PAGES:
        for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", path.read_text(), re.DOTALL | re.MULTILINE):
            yield path.name, block


def configurations() -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts of configurations that pages show."""
    for name, block in blocks("yaml"):
        found = yaml.safe_load(block)
        if name != "CONTRIBUTING.md" and isinstance(found, dict):  # whose are of kinds yet to be written
            yield name, found


@pytest.mark.parametrize(("name", "shown"), list(configurations()))
def test_configurations_that_pages_show_are_valid(name: str, shown: dict[str, Any]):
    probes = shown if all(isinstance(part, dict) and part.get("kind") in PROBES for part in shown.values()) else {}
    assert probes or shown.keys() <= schema()["properties"].keys()
    for room, entries in (("models", shown.get("features", {})), ("probes", shown.get("probes", probes))):
        for entry in entries.values():
            if not entry.get("kind", "").endswith(".py"):
                assert entry_of(room, json.dumps(entry), name)["kind"] in registry.names(room)


def commands(program: str) -> set[str]:
    """The first arguments that pages give to a program, in blocks and in the midst of sentences."""
    shown = [line.strip() for _, block in blocks("sh") for line in block.splitlines()]
    shown += [code for path in PAGES for code in named(path.read_text())]
    return {words[1] for words in map(str.split, shown) if words[:1] == [program] and len(words) > 1}


def test_commands_that_pages_show_exist():
    shown = {word for word in commands("earthprobe") if not word.startswith("-")} - {"figure-support"}  # CONTRIBUTING's
    assert len(shown) > 5
    assert shown - set(app()) == set()
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    shown = {word for word in commands("make") if "/" not in word}
    assert len(shown) > 8
    assert shown - set(targets) == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_rows_of_tables_have_as_many_cells_as_their_heading(path: Path):
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    tables = re.findall(r"^(.*\n)([-:| ]*---[-:| ]*\n)((?:.*\|.*\n)+)", text, re.MULTILINE)
    for heading, line, rows in tables:
        for row in (heading, *rows.splitlines()):
            assert len(re.findall(r"(?<!\\)\|", row)) == line.count("|"), row


def anchors(path: Path) -> set[str]:
    """What a code host calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_links_between_files_lead_somewhere(path: Path):
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    for link in links:
        if not link.startswith("https://"):
            target, _, anchor = link.partition("#")
            file = (path.parent / target).resolve() if target else path
            assert file.exists(), link
            assert not anchor or anchor in anchors(file), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_no_sentence_has_a_name_that_a_browser_takes_for_a_tag(path: Path):
    blocks = r"^ *```.*?^ *```|<!--.*?-->"
    text = re.sub(blocks, "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"<\w[^>]*>", re.sub(r"`[^`]*`|\]\(\S*\)", "", text)) == []
