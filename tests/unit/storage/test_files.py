import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from earthprobe.errors import UserError
from earthprobe.storage.files import read_csv, replacing, sha256, write_csv, write_json, write_text


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    target = tmp_path / "x.txt"
    write_text(target, "old")

    def fail() -> None:
        with replacing(target) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_the_temporary_name_is_of_this_process(tmp_path: Path):
    with replacing(tmp_path / "x.txt") as part:
        assert part.parent == tmp_path
        assert str(os.getpid()) in part.name
        assert part.name.startswith(".")
        part.write_text("x")


def write_in_another_process(target: Path, text: str) -> None:
    code = "import sys, pathlib, earthprobe.storage.files as f; f.write_text(pathlib.Path(sys.argv[1]), sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, str(target), text], check=True)


@pytest.mark.parametrize("when", ["before it writes", "after it wrote"])
def test_an_outlived_job_cannot_overwrite_its_successor(tmp_path: Path, when: str):
    target = tmp_path / "x.txt"

    def outlived() -> None:
        with replacing(target) as part:
            if when == "after it wrote":
                part.write_text("old")
            write_in_another_process(target, "new")
            if when == "before it writes":
                part.write_text("old")

    with pytest.raises(UserError, match="another job has begun to write it"):
        outlived()
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_a_killed_job_leaves_nothing_that_looks_finished(tmp_path: Path):
    target = tmp_path / "x.txt"
    code = """
import os, pathlib, signal, sys
from earthprobe.storage.files import replacing
with replacing(pathlib.Path(sys.argv[1])) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    write_text(target, "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_csv_and_json(tmp_path: Path):
    write_csv(tmp_path / "x.csv", ("a", "b"), [(1, "x,y")])
    assert (tmp_path / "x.csv").read_text() == 'a,b\n1,"x,y"\n'
    assert read_csv(tmp_path / "x.csv") == [{"a": "1", "b": "x,y"}]
    write_json(tmp_path / "x.json", {"ü": 1})
    assert (tmp_path / "x.json").read_text() == '{\n  "ü": 1\n}\n'


def test_a_full_disk_is_named_with_the_file(tmp_path: Path):
    def write() -> None:
        with replacing(tmp_path / "x.parquet") as part:
            part.write_text("half")
            raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    with pytest.raises(UserError, match=r"x\.parquet: No space left on device: make room and run again$"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_its_sha256(tmp_path: Path):
    write_text(tmp_path / "x.txt", "abc")  # the example of FIPS 180-2
    assert sha256(tmp_path / "x.txt") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
