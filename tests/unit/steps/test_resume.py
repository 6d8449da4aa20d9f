import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import resume

from tests.clone import ended


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory of Snakemake, locked."""
    locks = tmp_path / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").touch()
    return tmp_path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[object]:
    """Starts a process that a run of the given number is said to have started."""
    started = []

    def run(number: object, folder: Path = tmp_path) -> int:
        environment = os.environ | {resume.JOB_OF: str(number)}
        started.append(subprocess.Popen(["sleep", "60"], cwd=folder, env=environment))
        return started[-1].pid

    yield run
    for process in started:
        process.kill()
        process.wait()


def gone() -> int:
    """The number of a process that is not there, and that no other will get meanwhile."""
    return int(Path("/proc/sys/kernel/pid_max").read_text()) + 1


def test_a_job_of_a_run_that_is_gone_is_ended(folder: Path, start):
    pid = start(gone())
    assert resume.end_processes(folder) == 1
    assert ended(pid)


def test_a_number_that_another_process_has_got_is_no_run(folder: Path, start):
    pid = start(1)
    assert resume.end_processes(folder) == 1
    assert ended(pid)


def test_other_processes_are_left_alone(folder: Path, start, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = start(gone(), tmp_path_factory.mktemp("elsewhere"))
    nobodys = start("")
    assert resume.end_processes(folder) == 0
    assert not ended(elsewhere)
    assert not ended(nobodys)


def test_a_job_of_a_living_run_is_left_alone(folder: Path, start):
    with snakemake() as run:
        pid = start(run.pid)
        assert resume.end_processes(folder) == 0
        assert not ended(pid)
    assert resume.end_processes(folder) == 1
    assert ended(pid)


def test_a_process_that_ends_meanwhile_is_no_orphan(folder: Path, start, monkeypatch: pytest.MonkeyPatch):
    def vanish(process: psutil.Process) -> float:
        raise psutil.NoSuchProcess(process.pid)

    with snakemake() as run:
        start(run.pid)
        monkeypatch.setattr(resume, "_started", lambda pid: 1.0)
        monkeypatch.setattr(psutil.Process, "create_time", vanish)
        assert resume.end_processes(folder) == 0


@contextmanager
def snakemake() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is called so."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "snakemake"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_without_slurm_none_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    assert resume.end_slurm_jobs(folder) == 0


def test_slurm_that_does_not_answer_matters_where_it_was_used(folder: Path, monkeypatch: pytest.MonkeyPatch):
    squeue = folder / "bin/squeue"
    squeue.parent.mkdir()
    squeue.write_text(
        "#!/bin/sh\necho 'squeue: error: first' >&2; echo 'squeue: fatal: no configuration' >&2; exit 1\n"
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{squeue.parent}:/bin:/usr/bin")
    assert resume.end_slurm_jobs(folder) == 0
    (folder / resume.SLURM_LOGS).mkdir()
    with pytest.raises(
        UserError, match=r"^squeue failed \(squeue: fatal: no configuration\): run again when SLURM answers$"
    ):
        resume.end_slurm_jobs(folder)


def test_a_living_run_is_not_disturbed(folder: Path):
    resume.refuse_if_at_work(folder)  # nobody has run here
    resume.note_run(folder)
    with pytest.raises(UserError, match=rf"snakemake \(process {os.getpid()}\) is running in {folder}"):
        resume.refuse_if_at_work(folder)


@pytest.mark.parametrize("change", [{"pid": None}, {"started": 1.0}])
def test_a_run_that_is_gone_is_no_hindrance(folder: Path, change: dict[str, object]):
    note(folder, **{name: gone() if value is None else value for name, value in change.items()})
    resume.refuse_if_at_work(folder)


def test_a_note_that_was_never_written_is_no_hindrance(folder: Path):
    (folder / resume.RUN).write_text("")
    resume.refuse_if_at_work(folder)


def test_a_run_on_another_machine_may_be_alive(folder: Path):
    note(folder, host="elsewhere")
    with pytest.raises(UserError, match="started on elsewhere and may be alive there"):
        resume.refuse_if_at_work(folder)
    (folder / ".snakemake/locks/0.input.lock").unlink()
    resume.refuse_if_at_work(folder)


def note(folder: Path, **change: object) -> None:
    resume.note_run(folder)
    path = folder / resume.RUN
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


@pytest.mark.parametrize("argument", ["-n", "--directory=elsewhere"])
def test_arguments_that_would_mislead(argument: str):
    with pytest.raises(UserError, match=f"resume does not take {argument.split('=')[0]}"):
        resume.run("tables", argument)
