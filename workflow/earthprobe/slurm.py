"""Asks SLURM what a site has, and which jobs were submitted from a folder.

Without this, a partition that is misspelt shows when the first embed job is submitted, hours after the start; and a job
that no node can hold waits for ever where the site does not refuse such.
"""

import getpass
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

from earthprobe.errors import UserError

JOB_NAME = "earthprobe_"
"""How the names of SLURM jobs begin (workflow/profiles/slurm)."""

PROFILE = "; change it at the top of workflow/profiles/slurm/config.yaml"


class Request(NamedTuple):
    """What a rule's job asks for: memory in MB, time in minutes; 0 where that is not known before the job is due."""

    rule: str
    partition: str
    cores: int
    memory: int
    gpus: int
    minutes: int
    account: str


class Nodes(NamedTuple):
    """Nodes of one kind in a partition; memory in MB each, time in minutes."""

    partition: str
    cores: int
    memory: int
    gpus: int
    minutes: float

    @classmethod
    def parse(cls, line: str) -> Self:
        """Reads a line of ``sinfo --exact --format=%R|%c|%m|%G|%l``."""
        partition, cores, memory, gres, limit = line.split("|")
        return cls(partition, int(cores), int(memory), _gpus(gres), _minutes(limit))

    def hold(self, job: Request) -> bool:
        """Whether a job fits, its time aside."""
        return job.cores <= self.cores and job.memory <= self.memory and job.gpus <= self.gpus

    def __str__(self) -> str:
        return _size(self.cores, self.memory, self.gpus)


def check_site(requests: Iterable[Request]) -> None:
    """Sees before the first job whether the site has what all jobs ask for.

    Raises:
        UserError: a partition or account is unknown, or no node of the partition can hold a job, or not for so long.
    """
    asked = {job for job in requests if job.partition}  # without, SLURM takes its default
    if not asked:
        return
    lines = ask("sinfo", "--all", "--noheader", "--exact", "--format=%R|%c|%m|%G|%l").splitlines()
    site = [Nodes.parse(line) for line in lines]
    accounts = _accounts()
    for job in sorted(asked):
        if accounts and job.account and job.account not in accounts:
            have = ", ".join(sorted(accounts))
            raise UserError(f"SLURM has no account '{job.account}' for you: it has {have}{PROFILE}")
        # Several partitions may be named: SLURM takes the one that is free first.
        partitions = job.partition.split(",")
        if unknown := set(partitions) - {nodes.partition for nodes in site}:
            have = ", ".join(sorted({nodes.partition for nodes in site}))
            raise UserError(f"SLURM has no partition '{min(unknown)}' (rule {job.rule}): it has {have}{PROFILE}")
        there = [nodes for nodes in site if nodes.partition in partitions]
        if not any(nodes.hold(job) for nodes in there):
            raise UserError(
                f"a job of rule {job.rule} needs {_size(job.cores, job.memory, job.gpus)}, but a node of partition"
                f" {job.partition} has at most {max(there, key=lambda nodes: nodes[1:4])}{PROFILE}"
            )
        if job.minutes > max(nodes.minutes for nodes in there):
            raise UserError(
                f"a job of rule {job.rule} asks for {job.minutes} minutes, but partition {job.partition} allows"
                f" {max(nodes.minutes for nodes in there):g}{PROFILE}"
            )


def jobs_from(folder: Path) -> list[str]:
    """The numbers of our jobs that were submitted from a folder and have not ended.

    Raises:
        UserError: SLURM does not answer.
    """
    lines = ask("squeue", "--me", "--noheader", "--format=%i|%j|%Z").splitlines()
    jobs = [line.split("|", 2) for line in lines]
    return [number for number, name, where in jobs if name.startswith(JOB_NAME) and Path(where) == folder]


def ask(*command: str) -> str:
    """What one of SLURM's commands prints.

    Raises:
        UserError: it fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not found: run this on a login node of the cluster") from None
    if done.returncode:
        reason = (done.stderr.splitlines() or ["it says nothing"])[-1]
        raise UserError(f"{command[0]} failed ({reason}): run again when SLURM answers")
    return done.stdout


def _accounts() -> set[str]:
    """The user's accounts; none where the site keeps no such lists."""
    me = f"user={getpass.getuser()}"
    try:
        return set(ask("sacctmgr", "--noheader", "--parsable2", "show", "assoc", me, "format=account").split())
    except UserError:
        return set()


def _gpus(gres: str) -> int:
    """How many GPUs ``gpu:2``, ``gpu:a100:4(S:0-1),nvme:1`` or ``(null)`` are."""
    return sum(int(count) for count in re.findall(r"\bgpu(?::[^:,()]+)??:(\d+)", gres))


def _minutes(limit: str) -> float:
    """How long ``infinite``, ``1-00:00:00``, ``4:00:00`` or ``30:00`` is."""
    if not limit[0].isdigit():
        return float("inf")
    days, _, clock = limit.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + int(part)
    return int(days or 0) * 1440 + seconds / 60


def _size(cores: int, memory: int, gpus: int) -> str:
    parts = [f"{cores} cores"] + [f"{memory} MB"] * bool(memory) + [f"{gpus} GPU"] * bool(gpus)
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
