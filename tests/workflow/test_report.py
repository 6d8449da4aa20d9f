"""The report: one HTML file, opened in a real browser."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser import chromium, errors
from tests.clone import TINY, Clone

CATEGORIES = ("Archive", "Configuration", "Embeddings", "Probes", "Summary", "Tables")


@pytest.fixture(scope="module")
def html(clone: Clone) -> Path:
    clone.run("--report", "results/tiny/report.html", config=TINY)
    return clone.results() / "report.html"


def test_it_holds_everything_in_one_file(clone: Clone, html: Path):
    text = html.read_text()
    for name in (
        "class_distribution_19.png",
        "umap_43.png",
        "umap_pixels_43.png",
        "confusion_pixels_19_mlp.png",
    ):
        picture = (clone.results() / "figures" / name).read_bytes()
        assert base64.b64encode(picture).decode() in text, name
    for name in ("classification_19.html", "comparison_43.csv", "by_country_19.csv", "doubtful_labels_43.csv"):
        assert name in text
    assert len(text) < 15e6
    for remote in ('src="http', "src='http", 'rel="stylesheet" href="http'):
        assert remote not in text


@pytest.fixture
def browser(html: Path) -> Iterator[webdriver.Chrome]:
    """Chromium with the report open."""
    with chromium() as opened:
        opened.get(html.as_uri())
        yield opened


def find(browser: webdriver.Chrome, path: str) -> WebElement:
    return WebDriverWait(browser, 20).until(lambda b: b.find_element(By.XPATH, path))


def open_first_of(browser: webdriver.Chrome, category: str) -> None:
    # Clicked by script: the menu slides in, and where it will stand another element may still be.
    browser.execute_script("arguments[0].click()", find(browser, f"//span[text()='{category}']"))
    browser.execute_script("arguments[0].click()", find(browser, "//table//a"))


def test_it_opens_without_an_error_and_lists_its_categories(browser: webdriver.Chrome):
    for category in (*CATEGORIES, "Statistics"):
        assert find(browser, f"//span[text()='{category}']").is_displayed()
    assert errors(browser) == []


@pytest.mark.parametrize("width", [1400, 900])
def test_its_first_page_says_the_results(browser: webdriver.Chrome, width: int):
    browser.set_window_size(width, 900)
    lines = find(browser, "//*[contains(@class, 'earthprobe-first-page')]").find_elements(By.XPATH, ".//li")
    assert [line.text.split()[0] for line in lines[:5]] == ["Best:", "Gain", "Without", "Not", "Of"]
    assert "Simulated: these figures show that the workflow runs, nothing else." in lines[4].text
    picture = find(browser, "//*[contains(@class, 'earthprobe-first-page')]//img")
    assert int(picture.get_property("naturalWidth")) > 2000
    for element in (*lines[:5], picture):  # all is seen without scrolling, and nothing stands beside the page
        box = element.rect
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] >= 0
    assert picture.rect["y"] < 700
    assert find(browser, "//*[@id='rulegraph']").rect["y"] > picture.rect["y"]


def test_its_first_page_opens_the_explorer(browser: webdriver.Chrome):
    find(browser, "//*[contains(@class, 'earthprobe-first-page')]//button").click()
    WebDriverWait(browser, 20).until(lambda b: len(b.window_handles) == 2)
    browser.switch_to.window(browser.window_handles[1])
    WebDriverWait(browser, 30).until(lambda b: b.execute_script("return Boolean(window.explorer?.ready)"))
    assert "48 of 48 patches" in find(browser, "//*[@id='count']").text
    assert errors(browser) == []


def test_it_shows_the_tables(browser: webdriver.Chrome):
    browser.execute_script("arguments[0].click()", find(browser, "//span[text()='Tables']"))
    rows = find(browser, "//table").text
    for name in ("classification", "comparison", "retrieval", "by country", "doubtful labels"):
        assert name in rows
    link = find(browser, "//tr[td//text()[contains(., 'classification')]]//a")
    browser.execute_script("arguments[0].click()", link)
    browser.switch_to.frame(find(browser, "//iframe"))
    assert "Simulated archive: these figures show that the workflow runs, nothing else." in find(browser, "//body").text
    probes = [cell.text for cell in browser.find_elements(By.XPATH, "//td[2]")]
    assert probes[:3] == ["forest", "linear", "mlp"]


@pytest.mark.parametrize("category", ["Archive", "Embeddings", "Probes"])
def test_it_shows_the_figures(browser: webdriver.Chrome, category: str):
    open_first_of(browser, category)
    picture = find(browser, "//img[starts-with(@src, 'data:image/png')]")
    assert picture.is_displayed()
    assert int(picture.get_property("naturalWidth")) > 700
