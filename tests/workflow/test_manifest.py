"""A manifest is enough: a clone at its commit, its configuration and its inputs give the same scores, to the byte."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clone import TINY, Clone
from tests.conftest import REPOSITORY

NANO = {"kind": "galileo", "model": "nano", "weights": "random:0", "bands": ["VV", "VH"], "precision": "float32"}
STUDY = TINY | {
    "features": {"pixels": TINY["features"]["pixels"], "nano": NANO},
    "probes": {name: TINY["probes"][name] for name in ("linear", "mlp")},
    "label_sets": [19],
    "intervals": {"draws": 100},
}


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def earthprobe(clone: Clone, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the clone's own code."""
    _, options = clone.command("earthprobe")
    command = [str(Path(sys.executable).with_name("earthprobe")), *arguments]
    return subprocess.run(command, **options, capture_output=True, check=False)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose code is committed, in which a study has run."""
    made = Clone(tmp_path_factory.mktemp("first"))
    shutil.copy(REPOSITORY / ".gitignore", made.folder)
    git(made.folder, "init", "--quiet")
    git(made.folder, "add", ".")
    git(made.folder, "commit", "--quiet", "--message", "first")
    made.run("tables", config=STUDY)
    return made


def read(clone: Clone) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((clone.results() / "manifest.json").read_text())
    return found


def test_it_says_where_numbers_come_from(first: Clone):
    manifest, commit = read(first), git(first.folder, "rev-parse", "HEAD")
    assert manifest["earthprobe"]["commit"] == commit
    assert manifest["earthprobe"]["clean"] is True
    assert shlex.split(manifest["command"])[:4] == ["snakemake", "--cores", "2", "tables"]
    assert manifest["configuration"] == yaml.safe_load((first.results() / "config.yaml").read_text())
    assert manifest["seeds"]["features.nano.weights"] == 0
    assert set(manifest["inputs"]) == {f"bigearthnet-{split}.csv" for split in ("train", "val", "test")}
    assert set(manifest["weights"]) == {"nano"}
    assert set(manifest["scores"]) == {f"probes/{f}/19/{p}" for f in STUDY["features"] for p in STUDY["probes"]}
    for entry in (*manifest["features"].values(), *manifest["scores"].values()):
        assert entry["commit"] == commit
        assert entry["made_on"][0]["threads"] == 2
        assert re.fullmatch("[0-9a-f]{64}", entry["sha256"])
    assert manifest["features"]["nano"]["precision"] == "float32"
    log = (first.results() / "logs/train/nano/19/mlp.log").read_text().splitlines()[0]
    assert f"(commit {commit}): train " in log
    assert commit not in (first.results() / "tables/classification_19.md").read_text()


def test_it_is_written_anew_only_with_what_it_is_about(first: Clone):
    assert first.planned("tables", config=STUDY) == {}
    # Of code that changes no result, and of the command line.
    with (first.folder / "workflow/earthprobe/errors.py").open("a") as stream:
        stream.write("\n# edited\n")
    assert first.planned("tables", "--cores", "1", config=STUDY) == {}
    git(first.folder, "checkout", "--quiet", ".")
    table = first.results() / "tables/classification_19.csv"
    content = table.read_bytes()
    table.write_bytes(content + b"\n")
    assert first.planned("tables", config=STUDY) == {"manifest": 1, "tables": 1}
    table.write_bytes(content)


def test_a_fresh_clone_at_its_commit_gives_the_same_scores(first: Clone, tmp_path: Path):
    kept = tmp_path / "manifest.json"
    shutil.copy(first.results() / "manifest.json", kept)
    git(tmp_path, "clone", "--quiet", str(first.folder), "second")
    second = object.__new__(Clone)
    second.folder = tmp_path / "second"
    git(second.folder, "checkout", "--quiet", json.loads(kept.read_text())["earthprobe"]["commit"])
    assert earthprobe(second, "config", "--manifest", str(kept), "--output", "again.yaml").returncode == 0
    second.run("tables", "--configfile", "again.yaml")
    done = earthprobe(second, "verify", "results/tiny", "--manifest", str(kept))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The scores of all 4 rows are those of" in done.stdout
    assert "Nothing else differs." in done.stdout

    config = yaml.safe_load((second.folder / "again.yaml").read_text())
    config["probes"]["mlp"]["seed"] = 1
    second.run("tables", config=config)
    done = earthprobe(second, "verify", "results/tiny", "--manifest", str(kept))
    assert done.returncode == 1
    assert "The scores of 2 of 4 rows are not those of" in done.stdout
    assert re.findall(r"^  (probes/\S+)$", done.stdout, re.MULTILINE) == [
        "probes/pixels/19/mlp",
        "probes/nano/19/mlp",
    ]
    assert "  configuration.probes.mlp.seed: 0, 1\n" in done.stdout
    assert done.stderr.splitlines()[-1].endswith("the scores of 2 of 4 rows differ; the lines above say which")


def test_braces_of_a_command_line(first: Clone):
    """They stand in a shell command, in which Snakemake would look for names."""
    first.run("tables", "--config", "figures={correlation_order: clustered}", "--forcerun", "manifest", config=STUDY)
    assert "'figures={correlation_order: clustered}'" in read(first)["command"]
    assert read(first)["configuration"]["figures"]["correlation_order"] == "clustered"
