"""The workflow through a real SLURM."""

import dataclasses
from datetime import datetime
from pathlib import Path

import pytest

from tests.clone import TINY, Clone, example
from tests.slurm.cluster import GPU_NODES, Cluster, ask
from tests.slurm.conftest import IN_PARTS, ON_GPUS, SITE, SlurmClone


@dataclasses.dataclass
class Job:
    """What SLURM's accounting says of a job."""

    id: str
    partition: str
    node: str
    state: str
    comment: str
    resources: str
    start: datetime
    end: datetime


def jobs_of(output: str) -> list[Job]:
    """All jobs of a run, by the id that its log gives."""
    run = output.split("SLURM run ID: ")[1].split()[0]
    fields = "JobID,Partition,NodeList,State,Comment%200,AllocTRES%200,Start,End"
    lines = ask(
        "sacct", "--noheader", "--parsable2", "--allocations", f"--name={run}", f"--format={fields}"
    ).splitlines()
    rows = [line.split("|") for line in lines]
    return [Job(*row[:6], *(datetime.fromisoformat(time) for time in row[6:])) for row in rows]


@pytest.fixture(scope="module")
def output(slurm_clone: SlurmClone) -> str:
    """What a run of the small demo printed, from the simulated archive to the figures."""
    return slurm_clone.run(config=IN_PARTS)


def test_jobs_ran_on_several_nodes(output: str):
    jobs = jobs_of(output)
    assert len(jobs) == 31
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert len({job.node for job in jobs}) > 1


def test_a_forest_grew_in_several_jobs_at_once(output: str):
    parts = [job for job in jobs_of(output) if "rule_train_part" in job.comment]
    assert len(parts) == 4  # of two label sets
    assert max(sum(other.start <= job.start < other.end for other in parts) for job in parts) > 1


def test_embed_jobs_ran_on_gpus_and_no_others(output: str):
    embed, others = [], []
    for job in jobs_of(output):
        (embed if job.comment.startswith("rule_embed_wildcards") else others).append(job)
    assert len(embed) == TINY["archive"]["shards"]
    assert {job.partition for job in embed} == {"gpu"}
    assert {job.node for job in embed} <= set(GPU_NODES)
    assert all("gres/gpu=1" in job.resources for job in embed)
    assert {job.partition for job in others} == {"cpu"}
    assert not any("gpu" in job.resources for job in others)
    at_once = [sum(other.start <= job.start < other.end for other in embed) for job in embed]
    assert max(at_once) <= len(GPU_NODES)


def test_light_rules_ran_where_snakemake_ran(output: str):
    assert not any(
        name in job.comment
        for job in jobs_of(output)
        for name in ("evaluate", "figure", "table", "config", "manifest", "rule_explore_", "weights", "summary")
    )


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone without SLURM, whose jobs have as many threads and whose forests are one job each."""
    made = Clone(tmp_path_factory.mktemp("local"))
    (made.folder / "my_model.py").write_text(example("my_model.py"))
    made.run("tables", "--max-threads", "1", config=ON_GPUS)
    return made


def test_tables_equal_those_of_a_local_run(output: str, slurm_clone: SlurmClone, local: Clone):
    for name in ("tables/classification_19.csv", "tables/classification_43.csv", "features/pixels.parquet"):
        assert (slurm_clone.results() / name).read_bytes() == (local.results() / name).read_bytes(), name


def test_nothing_runs_again(output: str, slurm_clone: SlurmClone):
    assert slurm_clone.planned(config=IN_PARTS) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpu_partition: gpu": "gpu_partition: gpus"}, "SLURM has no partition 'gpus' (rule embed): it has cpu, gpu;"),
        ({"most_cores: 1": "most_cores: 16"}, "but a node of partition gpu has at most 4 cores, 16000 MB and 1 GPU;"),
        ({'account: "research"': 'account: "mine"'}, "SLURM has no account 'mine' for you: it has research"),
        ({" minutes: 120": " minutes: 1500", "1440": "1500"}, "1500 minutes, but partition cpu allows 1440;"),
    ],
)
def test_a_wrong_value_is_said_before_any_job(cluster: Cluster, tmp_path: Path, changes: dict[str, str], message: str):
    clone = SlurmClone(tmp_path)
    clone.edit_profile(SITE)
    clone.edit_profile(changes)
    (clone.folder / "my_model.py").write_text(example("my_model.py"))
    output = clone.fail(config=ON_GPUS)
    assert message in output
    assert len([line for line in output.splitlines() if line.startswith("earthprobe: ")]) == 1
    assert "Traceback" not in output
    assert not clone.results().exists()
