"""What clusters do to jobs, and that the results do not show it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clone import Undisturbed, ended
from tests.slurm.cluster import Cluster, answers, ask, wait_for
from tests.slurm.conftest import ON_GPUS, SlurmClone
from tests.workflow.test_faults import CONFIG as LOCAL
from tests.workflow.test_faults import EMBEDDING

CONFIG = LOCAL | {"features": ON_GPUS["features"]}


@pytest.fixture(scope="module")
def finished(slurm_clone: SlurmClone) -> Undisturbed:
    """Tables that were made on the cluster without a fault."""
    slurm_clone.run("tables", config=CONFIG)
    return Undisturbed(slurm_clone, slurm_clone.results("faults"))


@pytest.fixture
def run(finished: Undisturbed) -> Iterator[SlurmClone]:
    """The same clone, its embeddings to be made again."""
    finished.forget("features/pixels/*.parquet")
    assert isinstance(finished.clone, SlurmClone)
    yield finished.clone
    finished.clone.end_runs()


def slurm_job(pid: int) -> str:
    """The SLURM job that a process belongs to."""
    variables = dict(v.split("=", 1) for v in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in v)
    return variables["SLURM_JOB_ID"]


def state(job: str) -> str:
    """What the accounting says became of a job, each time that it was started."""
    return ask("sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", f"--jobs={job}", "--format=State")


def test_somebody_cancels_a_job(run: SlurmClone, finished: Undisturbed):
    going = run.start("tables", config=CONFIG)
    job = slurm_job(going.halted(finished.results / EMBEDDING))
    assert answers("scancel", job)
    status, output = going.end()
    assert status == 0, output
    assert f"SLURM-job '{job}' failed" in output
    assert "CANCELLED" in state(job)
    finished.check()


def test_a_process_is_killed(run: SlurmClone, finished: Undisturbed):
    going = run.start("tables", config=CONFIG)
    pid = going.halted(finished.results / EMBEDDING)
    job = slurm_job(pid)
    os.kill(pid, signal.SIGKILL)
    status, output = going.end()
    assert status == 0, output
    assert state(job).strip() == "FAILED"
    finished.check()


def test_snakemake_is_killed_and_its_jobs_live_on(run: SlurmClone, finished: Undisturbed):
    going = run.start("tables", config=CONFIG)
    pid = going.halted(finished.results / EMBEDDING)
    job = slurm_job(pid)
    going.process.kill()
    going.end()
    assert ask("squeue", "--noheader", "--format=%T", f"--jobs={job}").strip() == "RUNNING"
    resumed = run.resume("tables", config=CONFIG)
    assert resumed.returncode == 0, resumed.stderr
    assert "CANCELLED" in state(job)
    assert ended(pid)
    finished.check()


def is_back(node: str) -> bool:
    """Whether a node takes jobs again: it is asked to, unless it has done so by itself."""
    states = ask("sinfo", "--noheader", f"--nodes={node}", "--format=%T").split()
    return states[:1] in (["idle"], ["mixed"], ["allocated"]) or answers(
        "scontrol", "update", f"nodename={node}", "state=resume"
    )


@pytest.fixture
def short(run: SlurmClone) -> Iterator[SlurmClone]:
    """A profile that gives a job one minute, and more with each attempt."""
    run.edit_profile({r"minutes: 120 ": "minutes: 1 "})
    yield run
    run.edit_profile({r"minutes: 1 ": "minutes: 120 "})


def test_a_job_runs_out_of_time(short: SlurmClone, finished: Undisturbed):
    going = short.start("tables", config=CONFIG)
    job = slurm_job(going.halted(finished.results / EMBEDDING))
    status, output = going.end(timeout=400)
    assert status == 0, output
    assert state(job).strip() == "TIMEOUT"
    finished.check()


def test_a_node_is_lost(run: SlurmClone, finished: Undisturbed, cluster: Cluster):
    going = run.start("tables", config=CONFIG)
    pid = going.halted(finished.results / EMBEDDING)
    job = slurm_job(pid)
    node = ask("squeue", "--noheader", "--format=%N", f"--jobs={job}").strip()
    cluster.lose_node(node)
    try:
        wait_for("the end of the process", lambda: ended(pid))
        status, output = going.end(timeout=500)
    finally:
        cluster.start_node(node)
        wait_for(f"{node} again", lambda: is_back(node), timeout=120)
    assert status == 0, output
    assert "NODE_FAIL" in state(job)
    finished.check()
