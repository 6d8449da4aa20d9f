import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from earthprobe import provenance
from earthprobe.cli import main
from earthprobe.provenance import Commit
from earthprobe.storage.scores import read_scores, write_scores

from tests.unit.steps.test_manifest import ROWS, a_run, read


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs are of a clean tree, whatever this one is."""
    monkeypatch.setattr(provenance, "commit", lambda: Commit("1a2b", True))


def verify(capsys: pytest.CaptureFixture[str], results: Path, *more: str) -> tuple[int, str, str]:
    """The exit status, what is printed, and the last line of the errors."""
    status = main(["verify", str(results), *more])
    printed = capsys.readouterr()
    return status, printed.out, (printed.err.splitlines() or [""])[-1]


def test_the_same_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    here, there = a_run(tmp_path / "here"), a_run(tmp_path / "there")
    status, text, error = verify(capsys, here, "--manifest", str(there / "manifest.json"))
    assert (status, error) == (0, "")
    assert f"The scores of all 3 rows are those of {there / 'manifest.json'}, to the byte." in text
    assert "Nothing else differs." in text


def test_another_seed_is_named_with_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    here, there = a_run(tmp_path / "here", probes__mlp__seed=1), a_run(tmp_path / "there")
    status, text, error = verify(capsys, here, "--manifest", str(there / "manifest.json"))
    assert status == 1
    assert "The scores of 1 of 3 rows are not those of" in text
    assert f"  {ROWS[0]}\n" in text
    assert f"  {ROWS[1]}" not in text
    assert "configuration.probes.mlp.seed: 0, 1" in text
    assert "seeds." not in text
    assert error.endswith(f"{here}: the scores of 1 of 3 rows differ; the lines above say which")


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ("earthprobe.commit", "old", '  earthprobe.commit: "old", '),
        ("earthprobe.clean", False, "  the tree had changes there that no commit holds"),
        ("configuration.threshold", 0.25, "  configuration.threshold: 0.25, 0.5"),
        ("configuration.buffers", [2], "  configuration.buffers: [2], []"),
        ("environment.lock", "old", '  environment.lock: "old", '),
        ("environment.packages.torch", "2.0", '  environment.packages.torch: "2.0", '),
        ("environment.packages.gone", "2.0", '  environment.packages.gone: "2.0", nothing'),
        ("environment.python", "3.9", '  environment.python: "3.9", '),
        ("machine.cpu", "Z80", '  machine.cpu: "Z80", '),
        ("machine.gpus", ["K80"], '  machine.gpus: ["K80"], []'),
        ("inputs.train.csv.sha256", "old", '  sha256 of inputs.train.csv: "old", '),
        ("index.sha256", "old", '  index.sha256: "old", '),
        ("weights.dofa.sha256", "old", '  sha256 of weights.dofa: "old", '),
        ("features.dofa.sha256", "old", '  sha256 of features.dofa: "old", '),
        ("features.dofa.precision", "float32", '  precision of features.dofa: "float32", "bfloat16"'),
        ("features.dofa.commit", "old", '  commit of features.dofa: "old", '),
        ("tables.classification_19.sha256", "old", '  sha256 of tables.classification_19: "old", '),
    ],
)
def test_what_differs_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    value: Any,
    line: str,
):
    monkeypatch.setattr(provenance, "gpus", lambda: [])
    here = a_run(tmp_path / "here")
    old = read(here)
    part, *parents, key = place.replace("train.csv", "train/csv").split(".")
    target = old[part]
    for parent in parents:
        target = target[parent.replace("/", ".")]
    target[key] = value
    (tmp_path / "old.json").write_text(json.dumps(old))
    status, text, _ = verify(capsys, here, "--manifest", str(tmp_path / "old.json"))
    assert status == 0
    assert line in text
    assert text.count("\n  ") == 1, text


def test_a_tree_with_changes_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(provenance, "commit", lambda: Commit("1a2b", False))
    status, text, _ = verify(capsys, a_run(tmp_path / "here"))
    assert status == 0
    assert "  the tree had changes there and here that no commit holds\n" in text


def test_what_many_rows_share_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    here, there = a_run(tmp_path / "here"), a_run(tmp_path / "there", threads=16)
    status, text, _ = verify(capsys, here, "--manifest", str(there / "manifest.json"))
    assert status == 0
    names = ", ".join(f"scores.{row}" for row in ROWS)
    assert f'  threads of {names}: ["16"], ["2"]\n' in text


def test_a_row_of_one_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    here = a_run(tmp_path / "here")
    old = read(here)
    old["scores"]["probes/old/19/mlp"] = old["scores"].pop(ROWS[1])
    (tmp_path / "old.json").write_text(json.dumps(old))
    status, text, _ = verify(capsys, here, "--manifest", str(tmp_path / "old.json"))
    assert status == 1
    assert "  probes/old/19/mlp (only there)\n" in text
    assert f"  {ROWS[1]} (only here)\n" in text


def test_a_run_is_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    here = a_run(tmp_path / "here")
    assert verify(capsys, here)[0] == 0
    path = here / ROWS[1] / "scores.parquet"
    scored = read_scores_of(path)
    scored.scores[1, 2] += 1e-7
    write_scores(path, scored, {"another": "metadata"})
    status, text, _ = verify(capsys, here)
    assert status == 1
    assert f"No longer what {here / 'manifest.json'} says: {ROWS[1]}/scores.parquet." in text
    assert f"  {ROWS[1]}\n" in text


def test_metadata_do_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    here = a_run(tmp_path / "here")
    for path in (here / "features/dofa.parquet", here / ROWS[0] / "scores.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"another": "metadata"}), path, compression="gzip")
    status, text, _ = verify(capsys, here)
    assert status == 0
    assert "Nothing else differs." in text


def test_files_that_are_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Of an input, which may lie on another disk, the manifest's word is taken."""
    here = a_run(tmp_path / "here")
    (here / "train.csv").unlink()
    assert "Nothing else differs." in verify(capsys, here)[1]
    (here / ROWS[2] / "scores.parquet").unlink()
    status, text, _ = verify(capsys, here)
    assert status == 1
    assert f"  {ROWS[2]} (only there)\n" in text


def test_without_a_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "manifest.json is missing: run snakemake first" in verify(capsys, tmp_path)[2]


def read_scores_of(path: Path) -> Any:
    """Scores that can be changed."""
    table = pq.read_table(path)
    said = table.schema.metadata
    pq.write_table(table.replace_schema_metadata({b"earthprobe": json.dumps({"classes": ["a", "b", "c"]})}), path)
    found = read_scores(path)
    pq.write_table(table.replace_schema_metadata(said), path)
    return found._replace(scores=found.scores.copy())
