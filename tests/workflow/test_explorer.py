"""The explorer, opened from the disk in a real browser, and clicked."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.browser import chromium, errors
from tests.pages import CLASSES, FEATURES, PATCHES, Known


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    return Known(tmp_path_factory.mktemp("explorer"))


@pytest.fixture
def page(known: Known) -> Iterator[webdriver.Chrome]:
    with chromium() as browser:
        open_page(browser, known.page)
        yield browser


@pytest.fixture(scope="module")
def patch(known: Known) -> int:
    """One that is scored, and whose point no other covers."""
    distances = cdist(known.points["clear"], known.points["clear"]) + 99 * np.eye(PATCHES)
    alone = distances.min(axis=1) * (np.array(known.splits) != "train")
    return int(alone.argmax())


def open_page(browser: webdriver.Chrome, path: Path) -> None:
    browser.get(path.as_uri())
    WebDriverWait(browser, 30).until(lambda b: b.execute_script("return Boolean(window.explorer?.ready)"))


def click_patch(browser: webdriver.Chrome, panel: int, patch: int) -> None:
    x, y = browser.execute_script("return explorer.pixelOf(arguments[0], arguments[1])", panel, patch)
    actions = ActionChains(browser)
    actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    actions.w3c_actions.pointer_action.click()
    actions.perform()
    WebDriverWait(browser, 10).until(lambda b: b.execute_script("return explorer.state.selected") == patch)


def choose(browser: webdriver.Chrome, control: str, text: str) -> None:
    Select(browser.find_element(By.ID, control)).select_by_visible_text(text)


def shown(browser: webdriver.Chrome) -> list[int]:
    rows: list[int] = browser.execute_script("return Array.from(explorer.shown())")
    return rows


def side(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.ID, "side").text


def cards(browser: webdriver.Chrome) -> list[int]:
    return [int(str(card.get_attribute("data-patch"))) for card in browser.find_elements(By.CSS_SELECTOR, ".card")]


def test_it_opens_without_an_error_or_a_request(page: webdriver.Chrome, known: Known):
    assert errors(page) == []
    asked = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert known.page.as_uri() in sent
    assert {url.split(":")[0] for url in sent} <= {"file", "data", "blob"}
    assert [url for url in sent if url.startswith("file")] == [known.page.as_uri()]
    assert len(shown(page)) == PATCHES
    assert "Random weights: clear, blurred." in page.find_element(By.ID, "warning").text


def test_a_point_shows_its_picture_scores_and_neighbours(page: webdriver.Chrome, known: Known, patch: int):
    click_patch(page, 0, patch)
    text = side(page)
    assert known.ids[patch] in text
    assert known.splits[patch] in text
    for number, name in enumerate(CLASSES):
        row = page.find_element(By.XPATH, f"//aside//tr[td[1][text()='{name}']]")
        assert ("●" in row.text) == known.targets[patch, number]
        cells = [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "td.number")]
        assert [float(cell) for cell in cells] == [
            pytest.approx(known.scores[features][patch, number], abs=0.008) for features in FEATURES
        ]
    assert cards(page) == known.nearest["clear"][patch].tolist()
    # The picture is drawn: its middle has the colour of the patch.
    pictures = page.find_elements(By.CSS_SELECTOR, "#side .large .picture")
    assert [picture.get_attribute("aria-label") for picture in pictures] == [
        f"{known.ids[patch]} in true colour (B04, B03, B02)",
        f"{known.ids[patch]} in red VV, green VH, blue VV-VH",
    ]
    assert "url(" in pictures[0].value_of_css_property("background-image")
    # A neighbour can be looked at in turn.
    page.find_element(By.CSS_SELECTOR, ".card").click()
    assert known.ids[known.nearest["clear"][patch][0]] in side(page)
    assert errors(page) == []


def test_a_filter_narrows_the_points(page: webdriver.Chrome, known: Known):
    choose(page, "class", "forest")
    choose(page, "show", "has the class")
    assert shown(page) == np.flatnonzero(known.targets[:, 1]).tolist()
    choose(page, "show", "missed (has it, not predicted)")
    choose(page, "judge", "blurred")
    scored = np.array(known.splits) != "train"
    missed = known.targets[:, 1] & (known.scores["blurred"][:, 1] <= 0.5) & scored
    assert missed.any()
    assert shown(page) == np.flatnonzero(missed).tolist()
    choose(page, "show", "all patches")
    choose(page, "country", "Portugal")
    assert shown(page) == list(range(1, PATCHES, 2))
    choose(page, "split", "test")
    assert shown(page) == list(range(5, PATCHES, 6))
    assert page.find_element(By.ID, "count").text == f"10 of {PATCHES} patches"
    choose(page, "split", "train")
    choose(page, "show", "predicted")
    assert page.find_element(By.ID, "count").text == f"0 of {PATCHES} patches (train has no scores)"
    assert errors(page) == []


def test_another_feature_set_keeps_the_selection(page: webdriver.Chrome, known: Known, patch: int):
    click_patch(page, 0, patch)
    choose_view = Select(page.find_element(By.CSS_SELECTOR, ".panel select"))
    choose_view.select_by_visible_text("UMAP of blurred")
    assert page.execute_script("return explorer.state.selected") == patch
    assert known.ids[patch] in side(page)
    assert "Nearest by blurred" in side(page)
    assert cards(page) == known.nearest["blurred"][patch].tolist()
    choose_view.select_by_visible_text("Map")
    assert page.execute_script("return explorer.state.selected") == patch
    assert errors(page) == []


def test_patches_are_found_by_id_and_by_class(page: webdriver.Chrome, known: Known):
    box = page.find_element(By.ID, "search")
    box.send_keys("patch_1")
    assert shown(page) == list(range(10, 20))
    box.send_keys("7")
    assert known.ids[17] in side(page)
    box.clear()
    box.send_keys("Wat")  # the only class that has it in its name
    assert page.execute_script("return explorer.state.cls") == 0
    assert shown(page) == np.flatnonzero(known.targets[:, 0]).tolist()
    for _ in range(3):
        box.send_keys("\ue003")  # backspace
    assert page.execute_script("return explorer.state.cls") == -1


def test_doubtful_labels_are_listed_with_their_pictures(page: webdriver.Chrome, known: Known):
    choose(page, "class", "town")
    page.find_element(By.ID, "tab-doubts").click()
    lines = [line.split(",") for line in (known.folder / "doubts.csv").read_text().splitlines()[1:]]
    listed = [known.ids.index(line[4]) for line in lines if line[1] == "town"]
    assert listed
    assert cards(page) == listed
    assert re.search("doubted by [12] of 2", side(page))
    # One lacks Sentinel-2, and is shown by Sentinel-1.
    assert PATCHES - 1 in listed
    assert len(page.find_elements(By.CSS_SELECTOR, ".card .picture:not(.none)")) == len(listed)


def test_patches_of_a_class_are_listed_by_score(page: webdriver.Chrome, known: Known):
    choose(page, "class", "town")
    page.find_element(By.ID, "tab-list").click()
    scored = np.flatnonzero(np.array(known.splits) != "train")
    quantised = np.round(255 * known.scores["clear"][scored, 2])
    assert cards(page) == scored[np.argsort(-quantised, kind="stable")].tolist()
    Select(page.find_element(By.CSS_SELECTOR, "#side select")).select_by_visible_text("lowest score first")
    assert cards(page) == scored[np.argsort(quantised, kind="stable")].tolist()


@pytest.mark.parametrize(
    "colour", ["true class", "predicted class", "right or wrong", "score", "country", "month", "split"]
)
@pytest.mark.parametrize("of_class", ["any class", "water"])
def test_every_colour_has_its_legend(page: webdriver.Chrome, colour: str, of_class: str):
    choose(page, "class", of_class)
    choose(page, "colour", colour)
    assert page.find_element(By.ID, "legend").text
    assert errors(page) == []
