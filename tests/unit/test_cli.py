import importlib
import inspect
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml
from earthprobe import registry
from earthprobe.cli import main
from earthprobe.progress import peak_memory

from tests.conftest import TinyArchive


def test_a_user_error_is_one_line_on_the_terminal_and_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = tmp_path / "logs/x.log"
    arguments = ["evaluate", "--scores", str(tmp_path / "no.parquet"), "--threshold", "0.5"]
    pl.DataFrame({"patch_id": ["p"]}).write_parquet(tmp_path / "index.parquet")
    arguments += ["--index", str(tmp_path / "index.parquet"), "--drawn", str(tmp_path / "d"), "--calibration", "c"]
    arguments += ["--metrics", str(tmp_path / "m"), "--per-class", str(tmp_path / "p"), "--log", str(log)]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("earthprobe evaluate: ")
    assert error.count("\n") == 1
    assert "no.parquet cannot be read" in error
    assert "no.parquet cannot be read" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_defect_is_raised_and_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("earthprobe.steps.show.yaml.safe_load", lambda text: 1 / 0)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ZeroDivisionError):
        main(["show", str(tmp_path), "--log", str(tmp_path / "x.log")])
    assert "ZeroDivisionError" in (tmp_path / "x.log").read_text()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Unable to allocate 4.00 TiB for an array"), "for this job: Unable to allocate 4.00 TiB"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), "the GPU has too little free memory"),
    ],
)
def test_memory_that_does_not_suffice_is_one_line(
    error: Exception, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(text: str) -> None:
        raise error

    monkeypatch.setattr("earthprobe.steps.show.yaml.safe_load", fail)
    (tmp_path / "config.yaml").touch()
    assert main(["show", str(tmp_path), "--log", str(tmp_path / "x.log")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("earthprobe show: ")
    assert message in said
    assert said.count("\n") == 1
    assert "Traceback" not in (tmp_path / "x.log").read_text()


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "logs").touch()
    assert main(["config", "--json", "{}", "--output", str(tmp_path / "x"), "--log", str(tmp_path / "logs/x.log")]) == 1
    assert capsys.readouterr().err == f"earthprobe config: {tmp_path / 'logs'}: File exists\n"
    assert not (tmp_path / "x").exists()


def test_an_unknown_probe_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["train", "--probe", '{"kind": "svm"}', "--features", "x", "--index", "x", "--label-set", "19"]
    assert main([*arguments, "--scores", "x", "--model", "x", "--log", str(tmp_path / "x.log")]) == 1
    assert "--probe.kind: 'svm' is unknown" in capsys.readouterr().err


def test_steps_run_by_themselves(twelve: TinyArchive, tmp_path: Path):
    splits = twelve.split_files()
    patches, shard = tmp_path / "patches.parquet", tmp_path / "0000.parquet"
    arguments = ["index-patches", "--kind", "bigearthnet-v1", "--files", str(twelve.s1_folder), "--shards", "1"]
    arguments += ["--archive", "tiny", "--lists", *map(str, splits.values())]
    assert main([*arguments, "--output", str(patches), "--mismatches", str(tmp_path / "m.csv")]) == 0
    arguments = ["shard", "--patches", str(patches), "--sensor", "s1", "--source", str(twelve.s1_folder)]
    assert main([*arguments, "--shard", "0000", "--output", str(shard)]) == 0
    assert shard.stat().st_size > 500_000


def test_config_is_readable_yaml(tmp_path: Path):
    value = {"archive": {"name": "x"}, "label_sets": [19, 43]}
    assert main(["config", "--json", json.dumps(value), "--output", str(tmp_path / "c.yaml")]) == 0
    text = (tmp_path / "c.yaml").read_text()
    assert yaml.safe_load(text) == value
    assert "label_sets: [19, 43]" in text


def test_parsing_imports_nothing_heavy():
    heavy = "torch,torchgeo,polars,pyarrow,sklearn,numpy,rasterio"
    code = (
        f"import sys, earthprobe.cli, earthprobe.config; print([m for m in '{heavy}'.split(',') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    missing = tmp_path / "bigearthnet-train.csv"
    arguments = ["index-patches", "--kind", "bigearthnet-v1", "--files", str(tmp_path), "--shards", "1"]
    arguments += ["--archive", "tiny", "--lists", *[str(missing)] * 3]
    arguments += ["--output", str(tmp_path / "p"), "--mismatches", str(tmp_path / "m"), "--log", str(tmp_path / "l")]
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"earthprobe index-patches: {missing}: No such file or directory\n"
    assert not (tmp_path / "p").exists()


def test_peak_memory_is_this_process_own():
    text = "from earthprobe.progress import peak_memory; print(peak_memory())"
    room = bytearray(2**29)  # of a parent, which Linux would count for its child
    child = float(subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout)
    assert len(room) == 2**29
    assert 10 < child < 300
    assert peak_memory() > 512


def test_what_a_library_prints_stands_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def load(text: str) -> dict[str, object]:
        logging.getLogger("earthprobe").info("before")
        print("printed")
        logging.getLogger("earthprobe").info("after")
        return {}

    monkeypatch.setattr("earthprobe.steps.config.json.loads", load)
    log = tmp_path / "x.log"
    log.write_text("of an earlier run")
    assert main(["config", "--json", "{}", "--output", str(tmp_path / "x"), "--log", str(log)]) == 0
    *lines, last = log.read_text().splitlines()[1:]
    assert sorted(line.split()[-1] for line in lines) == ["after", "before", "printed"]
    assert re.search(r" INFO done in \d+\.\d s, \d+\.\d s of CPU time, peak memory \d+ MiB$", last)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shrd"], 'earthprobe shrd: Unknown command "shrd". Did you mean "shard"?'),
        (["config", "--json", "{}"], 'earthprobe config: Command "config" parameter --output requires an argument.'),
        (["config", "--json", "{}", "--outptu", "x"], "earthprobe config: "),
        (["merge", "--log"], "earthprobe: "),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_every_step_and_figure_is_a_command_that_explains_itself(capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for folder, prefix in (("steps", ""), ("figures", "figure-")):
        modules = {path.stem for path in (registry.PACKAGE / folder).glob("*.py")} - {"__init__", "numbers", "style"}
        assert modules
        for module in modules:
            name = f"{prefix}{module.replace('_', '-')}"
            assert f" {name} " in listed
            assert main([name, "--help"]) == 0
            page = capsys.readouterr().out
            assert f"Usage: earthprobe {name}" in page
            # Each option has a text of its own, from the docstring.
            text = inspect.getdoc(importlib.import_module(f"earthprobe.{folder}.{module}").run)
            for parameter in inspect.signature(importlib.import_module(f"earthprobe.{folder}.{module}").run).parameters:
                assert f"{parameter}: " in text, (module, parameter)


def test_resume_gives_snakemakes_arguments_on(monkeypatch: pytest.MonkeyPatch):
    given: list[str] = []
    monkeypatch.setattr("earthprobe.steps.resume.refuse_if_at_work", lambda folder: given.append("asked"))
    assert main(["resume", "--cores", "2", "-n", "tables"]) == 1  # no dry runs
    assert given == []


def test_help_takes_no_time():
    """It imports no step; measured as modules, since a time depends on what else runs."""
    code = "import sys; from earthprobe.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stderr
    assert "'cyclopts'" in loaded
    for heavy in ("numpy", "polars", "torch", "pyarrow", "snakemake", "matplotlib", "earthprobe.steps"):
        assert f"'{heavy}'" not in loaded
