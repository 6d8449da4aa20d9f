"""Runs of the real workflow in a clone of the repository, with a small simulated archive."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY

FEATURES = {
    "model": "dofa_base_patch16_224",
    "weights": "random:0",
    "bands": ["VV", "VH"],
    "wavelengths": [3.75, 3.75],
    "precision": "float32",
}
TINY: dict[str, Any] = {
    "archive": {"name": "tiny", "kind": "simulated", "patches": 48, "shards": 3, "seed": 1},
    "features": {"dofa": FEATURES},
    "probes": {
        "forest": {"kind": "random_forest", "n_estimators": 5},
        "linear": {"kind": "linear", "strengths": [0.1], "max_iterations": 20},
        "mlp": {"kind": "mlp", "hidden": [8], "max_epochs": 2},
    },
}


class Clone:
    """A copy of what git tracks, in which snakemake runs as a user would run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Snakefile", "config", "workflow", "resources", "envs"):
            source = REPOSITORY / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / name)

    def write_config(self, config: dict[str, Any], name: str = "test.yaml") -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def snakemake(self, *arguments: str, config: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        options = ["--configfile", str(self.write_config(config))] if config else []
        # The steps come from the clone, too, so that an edit there is what runs.
        environment = os.environ | {"PYTHONPATH": str(self.folder / "workflow")}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, *options],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *arguments: str, config: dict[str, Any] | None = None) -> str:
        """Runs and returns the output; a failure shows it."""
        done = self.snakemake(*arguments, config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def fail(self, *arguments: str, config: dict[str, Any]) -> str:
        """Runs what must fail, and returns the output."""
        done = self.snakemake(*arguments, config=config)
        assert done.returncode != 0
        return done.stdout + done.stderr

    def planned(self, *arguments: str, config: dict[str, Any] | None = None) -> dict[str, int]:
        """How many jobs of each rule ``snakemake -n`` would run."""
        output = self.run("--dry-run", *arguments, config=config)
        if "Nothing to be done" in output:
            return {}
        table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\n\n", output, re.DOTALL)
        assert table, output
        jobs = dict(line.split() for line in table[1].splitlines())
        return {name: int(count) for name, count in jobs.items() if name not in ("total", "all")}

    def results(self, name: str = "tiny") -> Path:
        return self.folder / "results" / name


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the tiny configuration has run to the end."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    made.run(config=TINY)
    return made
