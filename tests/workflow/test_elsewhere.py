"""The workflow as others use workflows: from another Snakefile, and from another folder."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.clone import PIXELS
from tests.conftest import REPOSITORY

OUTER = """\
configfile: "mine.yaml"


module earthprobe:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from earthprobe as earthprobe_*


rule mine:
    default_target: True
    input:
        "results/mine/tables/classification_19.csv",
    output:
        "lines.txt",
    shell:
        "wc -l {{input}} > {{output}}"
"""
CONFIG = {
    "archive": {"name": "mine", "kind": "simulated", "patches": 24, "shards": 2, "seed": 1},
    "label_sets": [19],
    "features": {"pixels": PIXELS},
    "probes": {"linear": {"kind": "linear", "strengths": [0.1], "max_iterations": 20}},
}


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("snakemake")), *arguments]
    # Run as a user would, who has the environment's snakemake and not this repository on the path.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_as_a_module_of_another_workflow(tmp_path: Path):
    (tmp_path / "Snakefile").write_text(OUTER.format(snakefile=REPOSITORY / "Snakefile"))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CONFIG))
    done = snakemake(tmp_path, "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "results/mine/tables/classification_19.csv" in (tmp_path / "lines.txt").read_text()
    again = snakemake(tmp_path, "--cores", "2", "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_in_another_working_directory(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CONFIG))
    arguments = ["tables", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path), "--cores", "1"]
    done = snakemake(REPOSITORY, *arguments, "--configfile", str(tmp_path / "mine.yaml"), "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "embed_on_cpu" in done.stdout + done.stderr
