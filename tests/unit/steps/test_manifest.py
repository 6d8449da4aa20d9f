import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import yaml
from earthprobe import __version__, provenance
from earthprobe.cli import main
from earthprobe.config import resolve
from earthprobe.provenance import COMMAND, Commit, made_on
from earthprobe.steps import manifest
from earthprobe.steps.manifest import packages, seeds_of
from earthprobe.storage.parquet import embedding_schema, with_metadata
from earthprobe.storage.scores import Scores, write_scores

from tests.clone import TINY

CONFIG = TINY | {"features": {"dofa": {"model": "dofa_base_patch16_224", "weights": "random:3", "bands": ["VV", "VH"]}}}
IDS = ["a", "b", "c", "d"]
ROWS = ("probes/dofa/19/mlp", "controls/19/prior", "probes/dofa/19/linear/seed1")


def a_run(root: Path, commit: str | None = None, threads: int = 2, **changed: Any) -> Path:
    """The files of a small run, and its manifest; ``changed`` is of its configuration, in dotted keys."""
    config = resolve(CONFIG)
    for place, value in changed.items():
        *parents, key = place.split("__")
        part = config
        for parent in parents:
            part = part[parent]
        part[key] = value
    root.mkdir(parents=True)
    (root / "config.yaml").write_text(yaml.safe_dump(config))
    (root / "train.csv").write_text("a\nb\n")
    pl.DataFrame({"patch_id": IDS, "split": ["train", "train", "val", "test"]}).write_parquet(root / "index.parquet")
    (root / "features/dofa").mkdir(parents=True)
    weights = safetensors.numpy.save({"w": np.arange(4, dtype=np.float32)}, {"weights": "random:3"})
    (root / "features/dofa/weights.safetensors").write_bytes(weights)
    said = {"kind": "dofa", "model": "dofa_base_patch16_224", "weights": "random:3", "precision": "bfloat16"}
    here = [{"cpu": provenance.cpu(), "gpu": "NVIDIA H100", "threads": 16}]
    schema = with_metadata(embedding_schema(2), {**said, "device": "cuda", "made_on": here})
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8, dtype=np.float32)), type=schema.field(1).type)
    pq.write_table(pa.table([pa.array(IDS), vectors], schema=schema), root / "features/dofa.parquet")
    for row in ROWS:
        (root / row).mkdir(parents=True)
        values = np.full((2, 3), config["probes"]["mlp"]["seed"] if row.endswith("mlp") else 0.5, dtype=np.float32)
        scored = Scores(["c", "d"], ["val", "test"], values, values > 0.4)
        write_scores(root / row / "scores.parquet", scored, {"made_on": made_on(threads)})
    (root / "tables").mkdir()
    (root / "tables/classification_19.csv").write_text("features,probe\n")
    manifest.run(
        config=root / "config.yaml",
        inputs=[root / "train.csv"],
        index=root / "index.parquet",
        weights=[root / "features/dofa/weights.safetensors"],
        features=[root / "features/dofa.parquet"],
        scores=[root / row / "scores.parquet" for row in ROWS],
        tables=[root / "tables/classification_19.csv"],
        output=root / "manifest.json",
    )
    return root


def read(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "manifest.json").read_text())
    return found


@pytest.fixture
def at_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is that of a commit, and more."""
    monkeypatch.setattr(provenance, "commit", lambda: Commit("1a2b", False))


@pytest.mark.usefixtures("at_commit")
def test_what_a_manifest_holds(tmp_path: Path):
    root = a_run(tmp_path / "run")
    found = read(root)
    assert list(found) == [
        "earthprobe", "written", "command", "environment", "machine", "seeds", "configuration",
        "inputs", "index", "weights", "features", "scores", "tables",
    ]  # fmt: skip
    assert found["earthprobe"] == {"version": __version__, "commit": "1a2b", "clean": False}
    assert found["environment"]["python"] == platform.python_version()
    assert found["environment"]["os"] == platform.platform()
    assert found["machine"]["cpu"] == provenance.cpu()
    assert found["machine"]["cores"] >= 1
    assert found["configuration"] == resolve(CONFIG)
    assert found["seeds"] == {
        "archive.seed": 1,
        "features.dofa.weights": 3,
        "probes.forest.seed": 0,
        "probes.mlp.seed": 0,
        "umap.seed": 0,
        "intervals.seed": 0,
    }
    digest = hashlib.sha256(b"a\nb\n").hexdigest()
    assert found["inputs"] == {"train.csv": {"file": str(root / "train.csv"), "sha256": digest}}
    assert found["index"]["file"] == "index.parquet"
    assert found["weights"]["dofa"]["file"] == "features/dofa/weights.safetensors"
    vectors = found["features"]["dofa"]
    assert vectors.pop("sha256") not in (found["index"]["sha256"], found["weights"]["dofa"]["sha256"])
    assert vectors == {
        "file": "features/dofa.parquet",
        "kind": "dofa",
        "model": "dofa_base_patch16_224",
        "weights": "random:3",
        "precision": "bfloat16",
        "device": "cuda",
        "version": __version__,
        "commit": "1a2b, with changes",
        "made_on": [{"cpu": provenance.cpu(), "gpu": "NVIDIA H100", "threads": 16}],
    }
    assert list(found["scores"]) == list(ROWS)
    row = found["scores"]["probes/dofa/19/linear/seed1"]
    assert row["file"] == "probes/dofa/19/linear/seed1/scores.parquet"
    assert row["commit"] == "1a2b, with changes"
    assert row["made_on"][0]["threads"] == 2
    assert list(found["tables"]) == ["classification_19"]


def test_nothing_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without git, a lock or a file's own word."""
    monkeypatch.setattr(provenance, "commit", lambda: None)
    monkeypatch.setattr(manifest, "LOCK", tmp_path / "none.lock")
    found = read(a_run(tmp_path / "run"))
    assert found["earthprobe"] == {"version": __version__, "commit": None, "clean": None}
    assert found["environment"]["lock"] is None
    assert found["scores"]["controls/19/prior"]["commit"] is None


def test_the_lock_of_the_checkout(tmp_path: Path):
    lock = hashlib.sha256(manifest.LOCK.read_bytes()).hexdigest()
    assert read(a_run(tmp_path / "run"))["environment"]["lock"] == lock


@pytest.mark.usefixtures("at_commit")
def test_the_hash_is_of_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another commit and another number of threads change what files say, and no hash."""
    here = read(a_run(tmp_path / "a"))
    monkeypatch.setattr("earthprobe.storage.parquet.commit_text", lambda: "another")
    there = read(a_run(tmp_path / "b", threads=7))
    for part in ("weights", "features", "scores", "tables"):
        assert {n: e["sha256"] for n, e in here[part].items()} == {n: e["sha256"] for n, e in there[part].items()}
    assert there["scores"][ROWS[0]]["commit"] == "another"


def test_packages_are_what_earthprobe_needs():
    found = packages()
    assert found["torch"] == version("torch")
    assert {"snakemake", "scikit-learn", "numpy", "polars", "torchgeo"} <= found.keys()
    assert not {"pytest", "ruff", "mypy"} & found.keys()


def test_seeds_are_found_wherever_they_stand():
    config = {"archive": {"split": {"by": "place", "seed": 4}}, "probes": {"a": {"seeds": 5}}, "x": None}
    assert dict(seeds_of(config)) == {"archive.split.seed": 4, "probes.a.seeds": 5}


def test_the_command_comes_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = a_run(tmp_path / "run")
    monkeypatch.setenv(COMMAND, "snakemake --cores 2 --config 'umap={seed: 1}'")
    words = ["manifest", "--config", root / "config.yaml", "--index", root / "index.parquet", "--output"]
    words += [root / "manifest.json", "--features", root / "features/dofa.parquet", "--scores"]
    words += [root / ROWS[0] / "scores.parquet", "--tables", root / "tables/classification_19.csv"]
    assert main([str(word) for word in words]) == 0
    assert read(root)["command"] == "snakemake --cores 2 --config 'umap={seed: 1}'"
    assert read(root)["weights"] == {}


def test_its_configuration_can_be_run_again(tmp_path: Path):
    root = a_run(tmp_path / "run")
    path = tmp_path / "again.yaml"
    assert main(["config", "--manifest", str(root / "manifest.json"), "--output", str(path)]) == 0
    assert resolve(yaml.safe_load(path.read_text())) == resolve(CONFIG)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to write: give --json or --manifest"),
        (["--manifest", "x.json"], "x.json is missing: run snakemake first"),
        (["--manifest", "broken.json"], "broken.json is not valid JSON"),
        (["--manifest", "other.json"], "other.json is no manifest of earthprobe"),
    ],
)
def test_no_configuration(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text("[]")
    assert main(["config", *arguments, "--output", "c.yaml"]) == 1
    assert message in capsys.readouterr().err
