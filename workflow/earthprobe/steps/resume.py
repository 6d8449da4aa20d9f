"""Go on after a killed run: end what it left at work, unlock the folder and start Snakemake again.

A Snakemake that is killed with SIGKILL, or whose machine reboots, leaves its jobs running, on SLURM for hours. They
could not harm the files of the next run (see :func:`earthprobe.storage.files.replacing`), but would work beside it for
nothing.
"""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import psutil
from cyclopts import Parameter

from earthprobe.errors import UserError
from earthprobe.slurm import ask, jobs_from
from earthprobe.storage.files import write_text

log = logging.getLogger(__name__)

T = TypeVar("T")

JOB_OF = "EARTHPROBE_RUN"
"""The environment variable by which a job names the Snakemake that started it (workflow/rules/common.smk)."""

RUN = Path(".snakemake/earthprobe_run.json")
"""Who runs in a folder, or did last; :func:`note_run` writes it."""

SLURM_LOGS = Path(".snakemake/slurm_logs")
"""What the first job makes that is submitted from a folder."""

PATIENCE = 120.0  # seconds until a job that was ended must be gone


def note_run(folder: Path) -> None:
    """Notes that this process, a Snakemake that has locked the folder, is at work there."""
    process = psutil.Process()
    here = {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}
    write_text(folder / RUN, json.dumps(here))


def run(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Ends the jobs of killed runs in the working directory, unlocks it and becomes ``snakemake ARGUMENTS``.

    Args:
        arguments: those of the command that was killed.

    Raises:
        UserError: a run is still alive in this folder, or may be on another machine.
    """
    if odd := {"-d", "--directory", "-n", "--dry-run", "--dryrun"} & {word.split("=")[0] for word in arguments}:
        raise UserError(f"resume does not take {odd.pop()}: call it in the folder of the run")
    folder = Path.cwd()
    refuse_if_at_work(folder)
    processes, jobs = end_processes(folder), end_slurm_jobs(folder)
    log.info("ended %d processes and %d SLURM jobs of runs that are gone", processes, jobs)
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    refuse_if_at_work(folder)  # another resume may have been quicker
    if subprocess.run([snakemake, "--unlock", *arguments], stdout=subprocess.DEVNULL, check=False).returncode:
        raise UserError("the folder cannot be unlocked: the lines above say why")
    os.execv(snakemake, [snakemake, "--rerun-incomplete", *arguments])  # noqa: S606


def refuse_if_at_work(folder: Path) -> None:
    """Leaves a living run alone.

    Raises:
        UserError: there is one, or it cannot be seen from here whether there is.
    """
    try:
        last = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a full disk may have left nothing of it
        return
    if last["host"] == socket.gethostname():
        pid, started = last["pid"], _started(last["pid"])
        # The clock may have been set since.
        if started is not None and abs(started - last["started"]) < 2:
            raise UserError(
                f"snakemake (process {pid}) is running in {folder}: wait for it, or end it (kill -INT {pid})"
            )
    elif any((folder / ".snakemake/locks").glob("*")):
        raise UserError(
            f"the last run was started on {last['host']} and may be alive there: resume it there;"
            " if that machine is gone, snakemake --unlock and resume again"
        )


def end_processes(folder: Path) -> int:
    """Ends the local jobs whose Snakemake is gone, and says how many processes those were."""
    orphans = [process for process in psutil.process_iter() if _is_orphan(process, folder)]
    for process in orphans:
        _try(process.terminate)
        _try(process.resume)  # a stopped process would not notice
    _, stubborn = psutil.wait_procs(orphans, timeout=10)
    for process in stubborn:
        _try(process.kill)
    if left := psutil.wait_procs(stubborn, timeout=PATIENCE)[1]:
        raise UserError(f"process {left[0].pid} of a killed run cannot be ended: check that its disk responds")
    return len(orphans)


def end_slurm_jobs(folder: Path) -> int:
    """Cancels the SLURM jobs of former runs in the folder, waits until they are gone, and says how many there were.

    Raises:
        UserError: SLURM does not answer though jobs were submitted from here, or a job does not end.
    """
    if not shutil.which("squeue"):
        return 0
    try:
        jobs = jobs_from(folder)
    except UserError:
        if not (folder / SLURM_LOGS).exists():
            return 0  # its commands are installed, but it is not in use
        raise
    if jobs:
        ask("scancel", *jobs)
    deadline = time.monotonic() + PATIENCE
    while left := jobs_from(folder):
        if time.monotonic() > deadline:
            raise UserError(f"SLURM has not ended {', '.join(left)} of a killed run: resume when squeue lists none")
        time.sleep(1)
    return len(jobs)


def _is_orphan(process: psutil.Process, folder: Path) -> bool:
    if _try(process.cwd) != str(folder):
        return False
    run = (_try(process.environ) or {}).get(JOB_OF, "")
    if not run.isdigit():
        return False
    # The number of a process that is gone is given to another, which is no Snakemake then, or younger than its jobs.
    started = _started(int(run))
    command = _try(lambda: psutil.Process(int(run)).cmdline()) or []
    if started is None or not any("snakemake" in word for word in command):
        return True
    began = _try(process.create_time)
    return began is not None and started > began


def _started(pid: int) -> float | None:
    """When a process began; nothing where it has ended."""
    process = _try(lambda: psutil.Process(pid))
    if process is None or _try(process.status) in (None, psutil.STATUS_ZOMBIE):
        return None
    return _try(process.create_time)


def _try(ask: Callable[[], T]) -> T | None:
    """What a process says of itself; nothing where it has ended or is somebody else's."""
    try:
        return ask()
    except psutil.Error:
        return None
