"""Version and commit, in throw-away repositories with a copy of the package's folder."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from earthprobe import __version__, provenance
from earthprobe.cli import main
from earthprobe.provenance import Commit, _of_checkout, commit, gathered, version


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    commit.cache_clear()
    yield
    commit.cache_clear()


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a package that is committed."""
    root = tmp_path / "checkout"
    package = root / "workflow/earthprobe"
    package.mkdir(parents=True)
    for path in (package / "__init__.py", root / "workflow/Snakefile", root / "README.md"):
        path.write_text("of the commit\n")
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "first")
    return root


def of(root: Path) -> Commit | None:
    return _of_checkout(root / "workflow/earthprobe")


def test_a_clean_checkout(checkout: Path):
    found = of(checkout)
    assert found == Commit(git(checkout, "rev-parse", "HEAD"), True)
    assert len(str(found)) == 40


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("README.md", False),  # what git tracks
        ("workflow/earthprobe/__init__.py", False),
        ("workflow/rules/new.smk", False),  # new, among the code
        ("workflow/earthprobe/__pycache__/x.pyc", True),  # ignored
        ("config/mine.yaml", True),  # a configuration is in the manifest itself
    ],
)
def test_what_makes_a_tree_unclean(checkout: Path, path: str, clean: bool):
    (checkout / path).parent.mkdir(exist_ok=True)
    (checkout / path).write_text("changed")
    found = of(checkout)
    assert found == Commit(git(checkout, "rev-parse", "HEAD"), clean)
    assert str(found).endswith(", with changes") != clean


def test_what_is_staged_is_a_change_too(checkout: Path):
    (checkout / "README.md").write_text("changed")
    git(checkout, "add", "README.md")
    assert of(checkout) == Commit(git(checkout, "rev-parse", "HEAD"), False)


def test_git_leaves_its_index_alone(checkout: Path):
    """Jobs side by side, and a user's own git, would meet its lock."""
    os.utime(checkout / "README.md", (1, 1))  # by which git would refresh its index
    before = (checkout / ".git/index").stat().st_mtime_ns
    assert of(checkout) is not None
    assert (checkout / ".git/index").stat().st_mtime_ns == before


def test_a_checkout_that_does_not_track_the_package(checkout: Path):
    inside = checkout / "venv/lib/earthprobe"
    inside.mkdir(parents=True)
    (inside / "__init__.py").touch()
    assert _of_checkout(inside) is None


def test_nothing_is_known_without_git(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert _of_checkout(tmp_path) is None  # no repository
    (tmp_path / "empty/x").mkdir(parents=True)
    git(tmp_path / "empty", "init", "--quiet")
    assert _of_checkout(tmp_path / "empty/x") is None  # without a commit
    monkeypatch.setenv("PATH", str(tmp_path))
    assert of(checkout) is None  # no git


def test_nothing_is_known_where_git_refuses(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As of a folder of dubious ownership."""
    (tmp_path / "git").write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert of(checkout) is None


def test_a_git_that_hangs_is_left(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(provenance, "PATIENCE", 0.2)
    assert of(checkout) is None


def test_a_hook_of_another_repository(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere/.git"))
    assert of(checkout) is not None


class Noted:
    def __init__(self, note: object) -> None:
        self.note = note

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.note is None else json.dumps(self.note)


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ({"url": "https://x", "vcs_info": {"vcs": "git", "commit_id": "1a2b3c"}}, Commit("1a2b3c", True)),
        ({"url": "file:///x", "dir_info": {"editable": True}}, None),
        (None, None),
    ],
)
def test_what_pip_has_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: object, expected: Commit | None):
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    monkeypatch.setattr(provenance, "distribution", lambda name: Noted(note))
    assert commit() == expected
    assert version() == (f"{__version__} (commit 1a2b3c)" if expected else __version__)


def test_the_version_is_printed_with_its_commit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "_of_checkout", lambda package: Commit("1a2b3c", False))
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"{__version__} (commit 1a2b3c, with changes)"


def test_a_log_says_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "_of_checkout", lambda package: Commit("1a2b3c", True))
    main(["config", "--json", "{}", "--output", str(tmp_path / "c.yaml"), "--log", str(tmp_path / "x.log")])
    first = (tmp_path / "x.log").read_text().splitlines()[0]
    assert first.endswith(
        f"earthprobe {__version__} (commit 1a2b3c): config --json '{{}}' --output {tmp_path / 'c.yaml'} --log"
        f" {tmp_path / 'x.log'}"
    )


def test_help_does_not_ask_git(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "_git", lambda *_: pytest.fail("git was called"))
    assert main(["--help"]) == 0
    assert "train" in capsys.readouterr().out


def test_what_made_the_parts_of_a_file():
    parts = [
        {"earthprobe_commit": "a", "made_on": [{"cpu": "x", "threads": 1}]},
        {"earthprobe_commit": "b", "made_on": [{"cpu": "y", "threads": 1}]},
        {"earthprobe_commit": "a", "made_on": [{"cpu": "x", "threads": 1}]},
    ]
    assert gathered(parts) == {
        "earthprobe_commit": "a; b",
        "made_on": [{"cpu": "x", "threads": 1}, {"cpu": "y", "threads": 1}],
    }
    assert gathered([{"earthprobe_commit": None}]) == {"earthprobe_commit": None}
    assert gathered([{"model": "x"}]) == {}


def test_the_machine():
    (made,) = provenance.made_on(3)
    assert made == {"cpu": provenance.cpu(), "gpu": None, "threads": 3}
    assert provenance.cpu().strip()
    assert isinstance(provenance.gpus(), list)


def test_a_gpu_is_named_where_torch_has_used_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "H200")
    assert provenance.made_on(4)[0]["gpu"] == "H200"
