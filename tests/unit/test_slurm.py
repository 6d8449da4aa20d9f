"""The questions to SLURM, against programs that print what a real one printed; tests/slurm asks a real one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from earthprobe import slurm
from earthprobe.errors import UserError
from earthprobe.slurm import Nodes, Request, check_site

SINFO = """\
cpu|4|16000|(null)|1-00:00:00
cpu|64|250000|(null)|1-00:00:00
gpu|32|128000|gpu:a100:4(S:0-1)|4:00:00
long|4|16000|(null)|infinite
"""
EMBED = Request("embed", partition="gpu", cores=16, memory=4300, gpus=1, minutes=120, account="")
TRAIN = Request("train_forest", partition="cpu", cores=16, memory=0, gpus=0, minutes=1440, account="research")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes SLURM's programs, by what they print, or what they fail with."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    def write(name: str, prints: str = "", fails: str = "") -> None:
        program = tmp_path / name
        program.write_text(
            f"#!/bin/sh\ncat <<'END'\n{prints}END\n" + (f"echo '{fails}' >&2; exit 1\n" if fails else "")
        )
        program.chmod(0o755)

    write("sinfo", SINFO)
    write("sacctmgr", "research\nroot\n")
    return write


@pytest.mark.parametrize(
    ("line", "nodes"),
    [
        ("cpu|4|16000|(null)|1-00:00:00", Nodes("cpu", 4, 16000, 0, 1440)),
        ("gpu|32|128000|gpu:2|4:00:00", Nodes("gpu", 32, 128000, 2, 240)),
        ("gpu|32|128000|gpu:a100:4(S:0-1),nvme:1|30:00", Nodes("gpu", 32, 128000, 4, 30)),
        ("gpu|32|128000|gpu:a100:4(S:0-1),gpu:h200:2(S:0)|n/a", Nodes("gpu", 32, 128000, 6, float("inf"))),
        ("big|128|1000000|craynetwork:4|infinite", Nodes("big", 128, 1000000, 0, float("inf"))),
    ],
)
def test_a_line_of_sinfo_is_read(line: str, nodes: Nodes):
    assert Nodes.parse(line) == nodes


@pytest.mark.parametrize(
    "job",
    [
        EMBED,
        TRAIN,
        EMBED._replace(gpus=4, cores=32, memory=128000, minutes=240),
        TRAIN._replace(partition="long", cores=4, minutes=9999),
        TRAIN._replace(partition="gpu,cpu", cores=64),
        TRAIN._replace(partition="", cores=9999),
        TRAIN._replace(account=""),
    ],
)
def test_what_the_site_has_passes(site, job: Request):
    check_site([job])


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (EMBED._replace(partition="gpus"), "SLURM has no partition 'gpus' (rule embed): it has cpu, gpu, long"),
        (
            EMBED._replace(partition="cpu"),
            "a job of rule embed needs 16 cores, 4300 MB and 1 GPU, but a node of partition cpu has at most 64 cores"
            " and 250000 MB",
        ),
        (
            EMBED._replace(gpus=5),
            "a job of rule embed needs 16 cores, 4300 MB and 5 GPU, but a node of partition gpu has at most 32 cores,"
            " 128000 MB and 4 GPU",
        ),
        (
            TRAIN._replace(cores=65),
            "a job of rule train_forest needs 65 cores, but a node of partition cpu has at most 64 cores and 250000 MB",
        ),
        (
            TRAIN._replace(memory=250001),
            "a job of rule train_forest needs 16 cores and 250001 MB, but a node of partition cpu has at most 64 cores"
            " and 250000 MB",
        ),
        (EMBED._replace(minutes=241), "a job of rule embed asks for 241 minutes, but partition gpu allows 240"),
        (TRAIN._replace(account="mine"), "SLURM has no account 'mine' for you: it has research, root"),
    ],
)
def test_what_the_site_lacks_is_said(site, job: Request, message: str):
    with pytest.raises(UserError) as caught:
        check_site([TRAIN, job])
    assert str(caught.value) == f"{message}; change it at the top of workflow/profiles/slurm/config.yaml"


def test_accounts_are_not_checked_where_the_site_keeps_none(site):
    site("sacctmgr", fails="You are not running a supported accounting_storage plugin")
    check_site([TRAIN._replace(account="mine")])


def test_nothing_is_asked_for_no_job(site):
    site("sinfo", fails="down")
    check_site([])


def test_slurm_that_does_not_answer_is_said(site):
    site("sinfo", fails="slurm_load_partitions: Unable to contact slurm controller (connect failure)")
    with pytest.raises(
        UserError, match=r"^sinfo failed \(slurm_load_partitions: Unable .*\): run again when SLURM answ"
    ):
        check_site([TRAIN])


def test_a_machine_without_slurm_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="^sinfo is not found: run this on a login node of the cluster$"):
        check_site([TRAIN])


def test_only_our_jobs_of_this_folder_are_listed(site, tmp_path: Path):
    site("squeue", f"7|earthprobe_1f|{tmp_path}\n8|other|{tmp_path}\n9|earthprobe_1f|/elsewhere\n")
    assert slurm.jobs_from(tmp_path) == ["7"]
