"""The rules' lists of package files, and the layers, against the real import graph."""

import re

import grimp
import pytest

from tests.conftest import REPOSITORY

GRAPH = grimp.build_graph("earthprobe")
ENTRY = {"config": "files"}
RULE = re.compile(r"^(?:use )?rule (?:\w+ as )?(\w+)(?: with)?:\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def rules() -> dict[str, set[str]]:
    """Each rule that runs the package, and the modules that it lists."""
    found = {}
    for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk")):
        for name, body in RULE.findall(path.read_text()):
            listed = re.search(r"package\((.*?)\)", body, re.DOTALL)
            if listed:
                found[name] = {m.replace("/", ".") for m in re.findall(r'"([^"]+)"', listed[1])}
    return found


def module_of(rule: str) -> str:
    if rule.startswith("train_"):
        return f"probes.{rule.removeprefix('train_')}"
    if rule.startswith("figure_"):
        return f"figures.{rule.removeprefix('figure_')}"
    return ENTRY.get(rule, rule)


def behind(module: str) -> set[str]:
    """A module and all that it imports, directly or not; the version in ``__init__`` is no reason to run again."""
    name = f"earthprobe.{module}"
    names = {name} | GRAPH.find_upstream_modules(name)
    names |= {f"earthprobe.{p}" for p in ("probes", "figures") if any(n.startswith(f"earthprobe.{p}.") for n in names)}
    short = {n.removeprefix("earthprobe.") for n in names if n != "earthprobe"}
    return {f"{n}.__init__" if n in ("probes", "figures") else n for n in short}


def test_rules_are_found():
    assert set(rules()) >= {"simulate", "index", "shard", "embed", "merge", "train_linear", "evaluate", "table"}
    assert len(rules()) == 25


@pytest.mark.parametrize("rule", sorted(rules()))
def test_a_rule_lists_what_its_step_imports(rule: str):
    assert rules()[rule] == behind(module_of(rule))


def test_every_module_is_behind_a_rule_or_the_command_line():
    listed = set().union(*rules().values()) | {"cli", "show", "config", "resume", "slurm", "fetch"}
    modules = {m.removeprefix("earthprobe.") for m in GRAPH.modules} - {"earthprobe"}
    assert {m.removesuffix(".__init__") for m in listed} == modules


DATA_SIDE = {
    "simulate",
    "index_patches",
    "index",
    "tiff",
    "shard",
    "shard_statistics",
    "embed",
    "embed_weights",
    "merge",
    "embeddings",
}
PROBE_SIDE = {"probes", "probes.train", "probes.linear", "probes.mlp", "probes.forest", "evaluate", "table"}


def test_no_module_of_the_data_side_imports_one_of_the_probe_side():
    for module in DATA_SIDE:
        assert not behind(module) & PROBE_SIDE, module


def test_labels_never_reach_the_embedding():
    for module in ("index_patches", "shard", "shard_statistics", "embed_weights", "embed", "merge"):
        assert not behind(module) & {"labels", "index"}, module


def test_nothing_imports_the_command_line():
    assert GRAPH.find_modules_that_directly_import("earthprobe.cli") == set()
