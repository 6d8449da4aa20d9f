"""What a run leaves when it dies, and the way back, on one machine."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clone import TINY, Clone, Undisturbed, ended

CONFIG = {
    **TINY,
    "archive": {**TINY["archive"], "name": "faults", "shards": 2},
    "label_sets": [19],
    "probes": {"linear": TINY["probes"]["linear"]},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A clone whose tables were made without a fault."""
    made = Clone(tmp_path_factory.mktemp("faults"))
    made.run("tables", config=CONFIG)
    return Undisturbed(made, made.results("faults"))


@pytest.fixture
def run(finished: Undisturbed) -> Iterator[Clone]:
    """The same clone, its embeddings to be made again."""
    finished.forget("features/pixels/*.parquet")
    yield finished.clone
    finished.clone.end_runs()


EMBEDDING = "features/pixels/0001.parquet"


def test_a_killed_job(run: Clone, finished: Undisturbed):
    going = run.start("tables", config=CONFIG)
    os.kill(going.halted(finished.results / EMBEDDING), signal.SIGKILL)
    status, output = going.end()
    assert status != 0
    assert "Error in rule embed_on_cpu" in output
    assert "shard=0001" in output
    assert not (finished.results / EMBEDDING).exists()
    run.run("tables", config=CONFIG)
    finished.check()


def test_a_killed_snakemake(run: Clone, finished: Undisturbed):
    going = run.start("tables", config=CONFIG)
    pid = going.halted(finished.results / EMBEDDING)
    going.process.kill()
    going.end()
    assert not ended(pid)
    assert "locked" in run.fail("tables", config=CONFIG)
    resumed = run.resume("tables", config=CONFIG)
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r"ended [1-9]\d* processes and 0 SLURM jobs", resumed.stderr)
    assert ended(pid)
    finished.check()


def test_ctrl_c_needs_no_resume(run: Clone, finished: Undisturbed):
    going = run.start("tables", config=CONFIG)
    pid = going.halted(finished.results / EMBEDDING)
    os.killpg(going.process.pid, signal.SIGINT)  # as Ctrl-C does, the jobs too
    os.kill(pid, signal.SIGCONT)
    assert going.end()[0] != 0
    run.run("tables", config=CONFIG)
    finished.check()


def test_two_runs_at_once(run: Clone, finished: Undisturbed):
    going = run.start("tables", config=CONFIG)
    pid = going.halted(finished.results / EMBEDDING)
    assert "locked" in run.fail("tables", config=CONFIG)
    refused = run.resume("tables", config=CONFIG)
    assert refused.returncode == 1
    assert f"snakemake (process {going.process.pid}) is running in {run.folder}" in refused.stderr
    assert "Traceback" not in refused.stderr
    os.kill(pid, signal.SIGCONT)
    assert going.end()[0] == 0
    finished.check()


def test_a_truncated_shard(finished: Undisturbed):
    shard = finished.results / "shards/s1/0001.parquet"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    output = finished.clone.fail("tables", config=CONFIG)
    message = (
        r"earthprobe [a-z-]+: results/faults/shards/s1/0001.parquet cannot be read \(.+\): delete it and run again"
    )
    assert re.search(message, output)
    assert "Traceback" not in output
    shard.unlink()
    finished.clone.run("shards", "tables", config=CONFIG)
    finished.check()


@contextmanager
def own_disk(folder: Path) -> Iterator[Path]:
    """Puts a folder on a disk of its own, whose options can be changed, and back in the end."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", folder], check=True)
    try:
        copy(aside, folder)
        (folder / ".keep").touch()  # Snakemake would remove an empty folder, which a disk cannot be
        yield folder
        (folder / ".keep").unlink()
        shutil.rmtree(aside)
        aside.mkdir()
        copy(folder, aside)
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
        aside.rename(folder)


def copy(source: Path, target: Path) -> None:
    """Copies what is in a folder with its times, in which Snakemake sees what is new."""
    subprocess.run(["cp", "--archive", f"{source}/.", target], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


PLACES = [
    ("shards/s1", "shards/s1/*.parquet", "shard"),
    ("features", "features/pixels/*.parquet", "embed"),
    ("features", "features/pixels.parquet", "merge"),
    ("tables", "tables/*", "(compare|retrieval|by-place)"),
]


@pytest.mark.parametrize(("folder", "made", "step"), PLACES, ids=[step for _, _, step in PLACES])
def test_a_full_disk(finished: Undisturbed, folder: str, made: str, step: str):
    finished.forget(made)
    with own_disk(finished.results / folder) as disk:
        used = int(subprocess.check_output(["df", "--output=used", "--block-size=1", disk], text=True).split()[1])
        remount(disk, f"size={used + 4096}")
        output = finished.clone.fail("tables", config=CONFIG)
        assert re.search(rf"earthprobe {step}: \S+: No space left on device: make room and run again", output), output
        assert "Traceback" not in output
        assert {path.name for path in finished.results.glob(made)} <= {".keep"}
        remount(disk, "size=2g")
        finished.clone.run("tables", config=CONFIG)
        finished.check()


def test_a_read_only_disk(finished: Undisturbed):
    finished.forget("tables/*")
    with own_disk(finished.results) as disk:
        remount(disk, "ro")
        # Of what is there and to be made anew Snakemake says so itself, before any line of ours.
        output = finished.clone.fail("tables", config=CONFIG)
        assert "results/faults/manifest.json" in output
        assert "Traceback" not in output
        remount(disk, "rw")
        finished.clone.run("tables", config=CONFIG)
        finished.check()
    untouched = {**CONFIG, "archive": {**CONFIG["archive"], "name": "untouched"}}
    with own_disk(finished.results.parent) as disk:
        remount(disk, "ro")
        output = finished.clone.fail("tables", config=untouched)
        line = "earthprobe: results cannot be written: check its owner, and that its disk is not read-only"
        assert line in output
        assert "Traceback" not in output
        remount(disk, "rw")
