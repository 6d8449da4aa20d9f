"""A clone of the repository in which snakemake runs as a user would run it, and what faults need."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import REPOSITORY

DOFA = {
    "kind": "dofa",
    "model": "dofa_base_patch16_224",
    "weights": "random:0",
    "bands": ["VV", "VH"],
    "wavelengths": [3.75, 3.75],
    "precision": "float32",
}
PIXELS = {"kind": "statistics", "bands": ["VV", "VH"]}
"""What takes no time; the runs of the demo and of real patches embed by DOFA."""

TINY: dict[str, Any] = {
    "archive": {"name": "tiny", "kind": "simulated", "patches": 48, "shards": 3, "seed": 1},
    "features": {"pixels": PIXELS},
    "controls": "none",  # of which test_controls.py has its own run
    "probes": {
        "forest": {"kind": "random_forest", "n_estimators": 5},
        "linear": {"kind": "linear", "strengths": [0.1], "max_iterations": 20},
        "mlp": {"kind": "mlp", "hidden": [8], "max_epochs": 2},
    },
}


def example(name: str) -> str:
    """A file that docs/extending.md shows."""
    text = (REPOSITORY / "docs/extending.md").read_text()
    return re.search(rf"```python\n# {re.escape(name)}\n(.*?)```", text, re.DOTALL)[1]  # type: ignore[index]


class Clone:
    """A copy of what git tracks, in which snakemake runs as a user would run it."""

    before: tuple[str, ...] = ("--cores", "2")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Snakefile", "config", "workflow", "envs"):
            source = REPOSITORY / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / name)
        (folder / "profiles").symlink_to((REPOSITORY / "profiles").readlink())
        self._runs: list[Run] = []

    def write_config(self, config: dict[str, Any], name: str = "test.yaml") -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def snakemake(self, *arguments: str, config: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        command, options = self.command("snakemake", *arguments, config=config)
        return subprocess.run(command, **options, capture_output=True, check=False)

    def command(
        self, program: str, *arguments: str, config: dict[str, Any] | None = None
    ) -> tuple[list[str], dict[str, Any]]:
        """A command line in the clone, and how subprocess runs it there."""
        files = ["--configfile", str(self.write_config(config))] if config else []
        command = [str(Path(sys.executable).with_name(program)), *self.before, *arguments, *files]
        # The steps come from the clone, too, so that an edit there is what runs.
        environment = os.environ | {"PYTHONPATH": str(self.folder / "workflow")}
        return command, {"cwd": self.folder, "env": environment, "text": True}

    def resume(self, *arguments: str, config: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """``earthprobe resume`` with the arguments of a killed command."""
        (program, *rest), options = self.command("earthprobe", *arguments, config=config)
        return subprocess.run([program, "resume", *rest], **options, capture_output=True, check=False)

    def start(self, *arguments: str, config: dict[str, Any]) -> "Run":
        """Runs in the background."""
        command, options = self.command("snakemake", *arguments, config=config)
        self._runs.append(Run(command, options, self.folder / "run.log"))
        return self._runs[-1]

    def end_runs(self) -> None:
        """Ends what a test that failed has left."""
        for run in self._runs:
            run.kill()
        self._runs.clear()

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

    def graph(self, *arguments: str, config: dict[str, Any]) -> "Graph":
        """All jobs, by one dry run, with what they read and write."""
        return Graph(self.run("--dry-run", "--forceall", *arguments, config=config))

    def results(self, name: str = "tiny") -> Path:
        return self.folder / "results" / name


class Graph:
    """The jobs of a workflow, and which of them an edit would run again."""

    def __init__(self, printed: str) -> None:
        self.jobs: list[tuple[str, set[str], set[str]]] = []
        for rule, text in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", printed, re.MULTILINE):
            lines = dict(re.findall(r"    (\w+): (.*)\n", text))
            files = [set(lines.get(key, "").split(", ")) - {""} for key in ("input", "output")]
            self.jobs.append((rule, files[0], files[1]))
        assert len(self.jobs) > 10, printed

    def after(self, *edited: str) -> dict[str, int]:
        """How many jobs of each rule read these files, or what those jobs write, and so on; targets are no jobs."""
        newer, again = set(edited), set[int]()
        while more := {n for n, (_, inputs, _) in enumerate(self.jobs) if inputs & newer} - again:
            again |= more
            newer |= {path for n in more for path in self.jobs[n][2]}
        return dict(Counter(self.jobs[n][0] for n in sorted(again) if self.jobs[n][2]))


class Run:
    """A run of snakemake in the background."""

    def __init__(self, command: list[str], options: dict[str, Any], log: Path) -> None:
        self._log = log
        with log.open("w") as stream:
            self.process = subprocess.Popen(command, **options, stdout=stream, stderr=stream, start_new_session=True)
        self._halted: list[int] = []

    def end(self, timeout: float = 300) -> tuple[int, str]:
        """The exit status and the output, once it has ended."""
        status = self.process.wait(timeout)
        return status, self._log.read_text()

    def kill(self) -> None:
        """Ends whatever still lives."""
        for pid in [self.process.pid, *self._halted]:
            if not ended(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def halted(self, target: Path, timeout: float = 120) -> int:
        """Stops the job that is writing ``target`` in the midst of it, and returns the number of its process."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for part in target.parent.glob(f".{target.name}.*.part"):
                pid = int(re.search(r"-(\d+)\.part$", part.name)[1])  # type: ignore[index]
                if ended(pid):  # an earlier, killed job's
                    continue
                self._halted.append(pid)
                os.kill(pid, signal.SIGSTOP)
                assert part.exists()
                assert not target.exists()
                return pid
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.001)
        raise TimeoutError(f"{target} was not begun: {self._log.read_text()}")


def ended(pid: int) -> bool:
    """Whether a process is gone."""
    return not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text()


STAGES = ("shards/s1/*.parquet", "features/pixels/*.parquet", "features/pixels.parquet", "probes/**/*", "tables/*")


class Undisturbed:
    """What a run without faults made, to compare with what comes after one."""

    def __init__(self, clone: Clone, results: Path) -> None:
        self.clone, self.results = clone, results
        self._made = self._contents()

    def forget(self, stage: str) -> None:
        """Removes the results of a stage and of all behind it, so that they are made again."""
        for pattern in STAGES[STAGES.index(stage) :]:
            for path in self.results.glob(pattern):
                if path.is_file():
                    path.unlink()

    def check(self) -> None:
        """All is there again, equal, and nothing half-made lies about."""
        made = self._contents()
        assert made.keys() == self._made.keys()
        assert [str(path) for path in made if made[path] != self._made[path]] == []
        assert list(self.results.rglob("*.part")) == []

    def _contents(self) -> dict[Path, bytes]:
        paths = [path for stage in STAGES for path in self.results.glob(stage) if path.is_file()]
        paths = [path for path in paths if not path.name.startswith(".")]
        assert len(paths) > len(STAGES)
        return {path.relative_to(self.results): path.read_bytes() for path in paths}
