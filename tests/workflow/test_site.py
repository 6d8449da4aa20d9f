"""The documentation as a site: built with warnings as errors, and read in a real browser without a network."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser import chromium, errors
from tests.conftest import REPOSITORY

SOURCES = ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config", "docs")


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """`make site` of a copy of the repository."""
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--site-dir", str(site)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from the repository."""
    folder = tmp_path_factory.mktemp("site")
    done = build(REPOSITORY, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the site is made of."""
    for name in SOURCES:
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "text", "said"),
    [
        ("README.md", "[x](docs/nowhere.md)", "nowhere.md"),
        ("docs/start.md", "[x](../config/nowhere.md)", "../config/nowhere.md"),
        ("config/README.md", "[x](../docs/models.md#nowhere)", "models.md#nowhere"),
        ("docs/method.md", "![x](images/nowhere.png)", "images/nowhere.png"),
        ("docs/unlisted.md", "# A page that no menu has", "unlisted.md"),
    ],
)
def test_what_leads_nowhere_is_an_error(copy: Path, page: str, text: str, said: str):
    with (copy / page).open("a") as stream:
        stream.write(f"\n{text}\n")
    done = build(copy, copy / "site")
    assert done.returncode != 0
    assert said in done.stderr


def test_pages_outside_of_docs_are_on_the_site(site: Path):
    for name, title in {"index": "earthprobe", "configuration": "Configuration", "changes": "Changelog"}.items():
        assert f">{title}" in (site / f"{name}.html").read_text()
    assert 'href="contributing.html"' in (site / "extending.html").read_text()
    assert 'src="images/study_gallery.jpg"' in (site / "index.html").read_text()


def test_nothing_is_taken_from_elsewhere(site: Path):
    for path in site.rglob("*.html"):
        tags = re.findall(r"<(?!a\b)[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>", path.read_text())
        assert tags == [], path.name
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text().replace('"', ""), path.name


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium."""
    with chromium() as opened:
        yield opened


def fetched(browser: webdriver.Chrome) -> list[str]:
    """What was asked for since this was last asked."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def test_every_page_is_read_from_a_folder_without_a_network(site: Path, browser: webdriver.Chrome):
    pages = sorted(path for path in site.glob("*.html") if path.name != "404.html")
    assert len(pages) > 12
    for path in pages:
        browser.get(path.as_uri())
        WebDriverWait(browser, 20).until(lambda b: b.find_element(By.CSS_SELECTOR, "article h1").is_displayed())
        addresses = fetched(browser)
        assert path.as_uri() in addresses
        assert [address for address in addresses if not address.startswith(("file:", "data:", "blob:"))] == []
        assert errors(browser) == [], path.name
        broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        assert browser.execute_script(broken) == []


def test_the_search_works_from_a_folder(site: Path, browser: webdriver.Chrome):
    browser.get((site / "index.html").as_uri())
    field = browser.find_element(By.CSS_SELECTOR, "input.md-search__input")
    browser.execute_script("arguments[0].focus()", field)
    field.send_keys("backscatter")
    found = "a.md-search-result__link[href$='?h=backscatter#data']"
    result = WebDriverWait(browser, 20).until(lambda b: b.find_element(By.CSS_SELECTOR, found))
    assert "Backscatter" in str(result.get_property("textContent"))
    assert errors(browser) == []
