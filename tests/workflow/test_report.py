"""The report: one HTML file, opened in a real browser."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.workflow.conftest import TINY, Clone

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def html(clone: Clone) -> Path:
    clone.run("--report", "results/tiny/report.html", config=TINY)
    return clone.results() / "report.html"


def test_it_is_one_file_with_tables_figures_and_configuration(clone: Clone, html: Path):
    text = html.read_text()
    for name in ("classification_19.html", "umap_dofa_43.png", "confusion_dofa_19_mlp.png", "config.yaml"):
        assert name in text
    for words in ("Tables", "Archive", "Embeddings", "Probes", "Configuration"):
        assert words in text
    picture = (clone.results() / "figures/class_distribution_19.png").read_bytes()
    assert base64.b64encode(picture)[:200].decode() in text
    assert 'src="http' not in text
    assert 'href="https://cdn' not in text


def test_it_opens_in_a_browser_without_an_error(html: Path, tmp_path: Path):
    if CHROMIUM is None:
        pytest.skip("BROWSER ABSENT: chromium is not installed")
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [CHROMIUM, *options.split(), "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0"]
    command += ["--virtual-time-budget=15000", "--dump-dom", html.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    dom = done.stdout
    for words in ("Tables", "Archive", "Embeddings", "Probes", "Configuration", "Statistics"):
        assert words in dom, words
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not [line for line in console if "ERROR" in line or "Uncaught" in line], json.dumps(console, indent=1)
