"""A cluster for all tests here, and a clone whose site values fit it, edited as its user would."""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clone import TINY, Clone, example
from tests.slurm.cluster import Cluster, missing_programs

SITE = {
    r"most_cores: +16": "most_cores: 1",
    r'account: +""': 'account: "research"',
    r"(slurm-init-seconds-before-status-checks): 10": r"\1: 2",
}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes, two GPUs."""
    missing = missing_programs()
    if (missing or os.geteuid() != 0) and "CI" not in os.environ:
        pytest.skip(f"SLURM ABSENT: {', '.join(missing) or 'only root can start it'}")
    # Not pytest's folder, which is closed to others: munge calls a socket in such a one insecure.
    with tempfile.TemporaryDirectory(prefix="earthprobe-slurm-") as folder:
        Path(folder).chmod(0o755)
        made = Cluster(Path(folder) / "cluster")
        try:
            made.start()
            yield made
        finally:
            made.stop()


class SlurmClone(Clone):
    """Runs through the profile ``slurm``."""

    before = ("--workflow-profile", "slurm")

    def edit_profile(self, changes: dict[str, str]) -> None:
        path = self.folder / "workflow/profiles/slurm/config.yaml"
        text = path.read_text()
        for pattern, new in changes.items():
            text, count = re.subn(pattern, new, text)
            assert count == 1, pattern
        path.write_text(text)


ON_GPUS = TINY | {"features": {"pixels": {"kind": "./my_model.py", "bands": ["VV", "VH"]}}}
"""A model that asks for a GPU, as a user's own does, and takes no time."""

IN_PARTS = ON_GPUS | {"probes": {**TINY["probes"], "forest": {**TINY["probes"]["forest"], "jobs": 2}}}
"""The same with a forest of two jobs."""


@pytest.fixture(scope="session")
def slurm_clone(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> SlurmClone:
    made = SlurmClone(tmp_path_factory.mktemp("clone"))
    made.edit_profile(SITE)
    (made.folder / "my_model.py").write_text(example("my_model.py"))
    return made
