"""Kinds as files, and what stands behind a step, against the real import graph."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
from earthprobe import registry
from earthprobe.errors import UserError

from tests.conftest import REPOSITORY

GRAPH = grimp.build_graph("earthprobe")
STEPS = [f"{folder}.{name}" for folder in ("steps", "figures") for name, _ in registry.summaries(folder)]
KINDS = [
    registry.kind(room, name).path
    for room in registry.ROOMS
    for name in registry.names(room)
    if registry.kind(room, name).module.exists()
]


def upstream(module: str) -> set[str]:
    """A module and all that it imports, directly or not, past modules that change no result; by grimp."""
    found: set[str] = set()
    waiting = [f"earthprobe.{module}"]
    while waiting:
        name = waiting.pop()
        if name in found or name.removeprefix("earthprobe.") in registry.CHANGES_NO_RESULT or name == "earthprobe":
            continue
        found.add(name)
        waiting += GRAPH.find_modules_directly_imported_by(name)
    return found


def module_of(path: Path) -> str:
    return ".".join(("earthprobe", *path.relative_to(registry.PACKAGE).with_suffix("").parts))


@pytest.mark.parametrize("module", [*STEPS, *KINDS])
def test_what_stands_behind_a_step_is_what_it_imports(module: str):
    tables = {path for path in registry.behind(module) if path.suffix == ".yaml"}
    assert {module_of(path) for path in registry.behind(module) if path not in tables} == upstream(module)
    assert {path.name for path in tables} == ({"torchgeo_weights.yaml"} if module == "models.torchgeo" else set())


def test_steps_and_kinds_are_found():
    assert {"steps.shard", "steps.train", "steps.resume", "figures.umap"} <= set(STEPS)
    assert {"models.dofa", "models.statistics", "probes.knn", "archives.reben", "archives.bigearthnet_v1"} <= set(KINDS)
    behind = {module_of(path) for path in registry.behind("steps.train", "probes.random_forest")}
    assert {"earthprobe.probes.forest", "earthprobe.probes.interface", "earthprobe.storage.embeddings"} <= behind
    assert not behind & {"earthprobe.probes.mlp", "earthprobe.steps.evaluate"}


def test_a_message_is_no_reason_to_run_again():
    """These modules say, show, check or fetch; none computes a value that is written, but for what names its origin."""
    assert {
        "__init__",
        "ablations",
        "cli",
        "config",
        "errors",
        "feature_sets",
        "names",
        "progress",
        "provenance",
        "registry",
        "seeds",
        "storage.download",
    } == registry.CHANGES_NO_RESULT
    files = {module_of(path) for module in (*STEPS, *KINDS) for path in registry.behind(module)}
    assert not {f"earthprobe.{name}" for name in registry.CHANGES_NO_RESULT} & files


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("from earthprobe.storage import files, tiff as t\n", {"storage/files.py", "storage/tiff.py"}),
        ("from earthprobe.storage.files import (\n    replacing,\n    write_csv,\n)\n", {"storage/files.py"}),
        ("import earthprobe.sensors\n", {"sensors.py"}),
        ("def f():\n    from earthprobe.describe import describe_data\n", {"describe.py"}),
        ("from earthprobe import describe, sensors\n", {"describe.py", "sensors.py"}),
        ("from earthprobe import __version__\nfrom earthprobe.errors import UserError\n", set()),
        ("import numpy\nfrom earthprobeless import x\n", set()),
    ],
)
def test_imports_are_read_in_every_form(tmp_path: Path, text: str, files: set[str]):
    path = tmp_path / "module.py"
    path.write_text(text)
    assert registry.imports(path) == {registry.PACKAGE / name for name in files}


LAYERS = ("storage", "archives", "models", "probes", "evaluation", "figures", "steps")
MAY_IMPORT = {
    "storage": set(),
    "archives": {"storage"},
    "models": {"storage"},
    "probes": {"storage"},
    "evaluation": {"storage"},
    "figures": {"evaluation", "storage"},
    "steps": set(LAYERS),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_data_flows_one_way(layer: str):
    for module in GRAPH.modules:
        if module.startswith(f"earthprobe.{layer}."):
            imported = {name.split(".")[1] for name in GRAPH.find_modules_directly_imported_by(module) if "." in name}
            assert imported & set(LAYERS) <= MAY_IMPORT[layer] | {layer}, module


def test_nothing_imports_a_step_or_the_command_line():
    for module in GRAPH.modules:
        if module == "earthprobe.cli" or module.startswith("earthprobe.steps."):
            assert GRAPH.find_modules_that_directly_import(module) == set(), module


def test_no_circle_of_imports():
    for module in GRAPH.modules:
        assert module not in GRAPH.find_upstream_modules(module), module


def test_labels_never_reach_the_embedding():
    read = [
        kind for kind in KINDS if kind.startswith("models") or kind in ("archives.reben", "archives.bigearthnet_v1")
    ]
    assert len(read) >= 4
    for step in ("index_patches", "shard", "shard_statistics", "embed_weights", "embed", "merge"):
        for kind in read:
            names = {path.stem for path in registry.behind(f"steps.{step}", kind)}
            assert not [name for name in names if name.endswith("_labels") or name in ("bigearthnet", "index")], step


def test_no_module_is_long():
    lengths = {path: len(path.read_text().splitlines()) for path in registry.PACKAGE.rglob("*.py")}
    assert {path.name: length for path, length in lengths.items() if length > 300} == {}
    assert lengths[registry.PACKAGE / "cli.py"] <= 150


def test_every_module_is_behind_a_step_or_says_why_not():
    files = {module_of(path) for module in (*STEPS, *KINDS) for path in registry.behind(module)}
    labels = {f"earthprobe.archives.{path.stem}" for path in (registry.PACKAGE / "archives").glob("*_labels.py")}
    labels |= {"earthprobe.archives.bigearthnet"}
    packages = {module for module in GRAPH.modules if (registry.PACKAGE.parent / module.replace(".", "/")).is_dir()}
    rest = GRAPH.modules - files - labels - packages
    no_result = {f"earthprobe.{name}" for name in registry.CHANGES_NO_RESULT}
    assert rest - no_result == {"earthprobe.archives.find"}  # where files lie: the paths are the rules' inputs


def rules() -> dict[str, str]:
    """Each rule with a command, and its text."""
    texts = [path.read_text() for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk"))]
    found = re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", "\n".join(texts), re.MULTILINE | re.DOTALL)
    return {name: text for name, text in found if "shell:" in text}


@pytest.mark.parametrize("rule", sorted(rules()))
def test_a_rule_rests_on_the_step_that_it_runs(rule: str):
    """But for a download, which nothing of ours can change."""
    text = rules()[rule]
    command = re.search(r'"earthprobe ([\w-]+) ', text)
    assert command
    name = command[1].replace("-", "_")
    module = f"figures.{name.removeprefix('figure_')}" if name.startswith("figure_") else f"steps.{name}"
    assert module in STEPS
    assert (f'package("{module}"' in text) == (rule != "fetch_file")


def test_an_unknown_kind_is_named():
    with pytest.raises(
        UserError,
        match="'svm' is unknown: one of binned_forest, extra_trees, knn, linear, linear_sgd, mlp, random_forest",
    ):
        registry.kind("probes", "svm")
    with pytest.raises(UserError, match="'interface' is unknown"):
        registry.kind("probes", "interface")


PROBE = '''"""Scores every patch alike."""

from pathlib import Path

import numpy as np

from earthprobe.probes.interface import Data, Fitted


def fit(data: Data, *, threads: int, constant: float = 0.5) -> Fitted:
    """Scores every patch alike."""
    classes = data.parts["train"].targets.shape[1]
    scores = {s: np.full((len(data.parts[s].ids), classes), constant, dtype=np.float32) for s in ("val", "test")}
    return Fitted(scores, {}, lambda path: Path(path).write_bytes(b"x"))
'''


def test_two_files_are_a_new_kind(tmp_path: Path):
    """In a copy of the package, to which nothing else is changed."""
    shutil.copytree(registry.PACKAGE, tmp_path / "earthprobe", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "earthprobe/probes/constant.py").write_text(PROBE)
    (tmp_path / "earthprobe/probes/constant.yaml").write_text(
        "description: The same score for all.\nthreads: 1\nmemory: {mb: 500}\n"
        "options: {constant: {description: The score., type: number, default: 0.5}}\n"
    )
    code = (
        "from earthprobe import registry; from earthprobe.config import entry_of, schema;"
        "print(registry.names('probes'));"
        "print(entry_of('probes', '{\"kind\": \"constant\"}', '--probe'));"
        "print(registry.load('probes', 'constant').fit.__doc__);"
        "print([p.name for p in registry.behind('probes.constant')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names, entry, text, behind = done.stdout.splitlines()
    assert names == str(sorted([*registry.names("probes"), "constant"]))
    assert entry == "{'kind': 'constant', 'constant': 0.5, 'seeds': 1}"
    assert text == "Scores every patch alike."
    assert behind == "['constant.py', 'interface.py']"


def test_a_users_own_file_that_cannot_be_imported_is_named(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text("import nowhere\n\ndef fit(data, *, threads): pass\n")
    with pytest.raises(UserError, match=rf"{path} cannot be imported: ModuleNotFoundError: No module named 'nowhere'"):
        registry.load("probes", str(path))


def test_an_option_of_a_users_own_kind_without_a_default_must_be_given(tmp_path: Path):
    (tmp_path / "mine.py").write_text("def fit(data, *, threads, depth, seed=0): ...\n")
    kind = registry.kind("probes", str(tmp_path / "mine.py"))
    assert kind.facts["required"] == ["depth"]
