from pathlib import Path

import pytest
import yaml
from earthprobe.errors import UserError
from earthprobe.steps import show


def test_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "tables").mkdir()
    for label_set in (19, 43):
        (tmp_path / f"tables/classification_{label_set}.md").write_text(f"table of {label_set}\n")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"label_sets": ["43"]}))
    show.run(tmp_path)
    text = capsys.readouterr().out
    assert "table of 43" in text
    assert "table of 19" not in text  # left over from an earlier configuration
    assert str(tmp_path / "config.yaml") in text
    assert "rejected.csv" not in text
    assert "summary.md" not in text


def test_show_begins_with_the_results_in_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/classification_19.md").write_text("table of 19\n")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"label_sets": ["19"]}))
    (tmp_path / "summary.md").write_text("# Results in short\n")
    show.run(tmp_path)
    assert capsys.readouterr().out.startswith("# Results in short\n\ntable of 19\n")


def test_show_without_a_run(tmp_path: Path):
    with pytest.raises(UserError, match="is missing: run snakemake first"):
        show.run(tmp_path)
