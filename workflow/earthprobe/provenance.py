"""What made a file: the version of earthprobe, the commit of its code, and the machine.

All of it stands in the metadata of files and in logs, and none of it changes a value.
"""

import functools
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from earthprobe import __version__

PACKAGE = Path(__file__).parent

COMMAND = "EARTHPROBE_COMMAND"
"""The environment variable that has the command line of the run (workflow/rules/common.smk)."""

VARIES = ("earthprobe_commit", "made_on")
"""What may differ between files that become one: other values do not come of it."""

PATIENCE = 10  # seconds for git: a slow disk must not hold up a job


class Commit(NamedTuple):
    """The commit of the code that runs.

    Attributes:
        name: its hash.
        clean: whether the code is what the commit holds.
    """

    name: str
    clean: bool

    def __str__(self) -> str:
        """The hash, and whether there is more than it."""
        return self.name if self.clean else f"{self.name}, with changes"


@functools.cache
def commit() -> Commit | None:
    """The commit of the checkout that the package lies in, else the one that pip has noted, or None."""
    return _of_checkout(PACKAGE) or _of_pip()


def commit_text() -> str | None:
    """The commit as files name it."""
    found = commit()
    return str(found) if found else None


def version() -> str:
    """The version, and the commit where it is known."""
    found = commit()
    return f"{__version__} (commit {found})" if found else __version__


def _of_checkout(package: Path) -> Commit | None:
    """The commit of the work tree that tracks the package; a change counts anywhere, a new file beside the code."""
    listed = _git(package, "ls-files", "-t", "--cached", "--others", "--exclude-standard", "--", "..")
    if listed is None or "H __init__.py" not in listed.splitlines():
        return None
    status = _git(package, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    lines = (status or "").splitlines()
    names = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    if not names or not re.fullmatch(r"[0-9a-f]{40,64}", names[0]):  # nothing was committed yet
        return None
    changed = any(not line.startswith("#") for line in lines) or re.search(r"^\? ", listed, re.MULTILINE)
    return Commit(names[0], not changed)


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where there is none, or it refuses."""
    # Variables of a git that runs us, as a hook, are of another place. Locks would be in the way of other jobs.
    others = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=others | {"GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _of_pip() -> Commit | None:
    """The commit that was installed, as PEP 610 has it noted."""
    try:
        noted = json.loads(distribution("earthprobe").read_text("direct_url.json") or "{}")
        return Commit(noted["vcs_info"]["commit_id"], True)
    except (PackageNotFoundError, ValueError, KeyError, TypeError):
        return None


def made_on(threads: int) -> list[dict[str, Any]]:
    """On what a file was made: the CPU, and the GPU that torch has used in this process.

    Returns:
        A list, since a merged file may come from several machines.
    """
    torch = sys.modules.get("torch")  # which is not imported for this
    gpu = torch.cuda.get_device_name() if torch and torch.cuda.is_initialized() else None
    return [{"cpu": cpu(), "gpu": gpu, "threads": threads}]


def gathered(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the metadata of several files say of what made them (:data:`VARIES`), for the one that they become."""
    commits = dict.fromkeys(part["earthprobe_commit"] for part in parts if part.get("earthprobe_commit"))
    machines = [machine for part in parts for machine in part.get("made_on", ())]
    distinct = [machine for number, machine in enumerate(machines) if machine not in machines[:number]]
    found = {"earthprobe_commit": "; ".join(commits) or None, "made_on": distinct}
    return {key: found[key] for key in VARIES if key in parts[0]}


@functools.cache
def cpu() -> str:
    """The model of the processor."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def gpus() -> list[str]:
    """The models of NVIDIA's GPUs here."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()
