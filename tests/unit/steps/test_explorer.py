"""What the page holds, without a browser; tests/workflow/test_explorer.py clicks."""

import io
from pathlib import Path

import numpy as np
import pytest
from earthprobe.steps import explorer
from earthprobe.storage.quick_look import quick_look
from PIL import Image

from tests.pages import CLASSES, FEATURES, KEPT, PATCHES, Known, columns, elements, meta


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    return Known(tmp_path_factory.mktemp("page"))


def test_labels_scores_and_predictions_are_those_of_the_files(known: Known):
    held = columns(known.page)
    labels = np.unpackbits(held["labels-0"].reshape(PATCHES, -1), axis=1)[:, : len(CLASSES)].astype(bool)
    assert np.array_equal(labels, known.targets)
    scored = np.array(known.splits) != "train"
    for number, name in enumerate(FEATURES):
        assert np.array_equal(held[f"scored-0-{number}"].astype(bool), scored)
        scores = held[f"scores-0-{number}"].reshape(PATCHES, -1) / 255
        np.testing.assert_allclose(scores[scored], known.scores[name][scored], atol=0.5 / 255 + 1e-6)
        predicted = np.unpackbits(held[f"predicted-0-{number}"].reshape(PATCHES, -1), axis=1)[:, : len(CLASSES)]
        assert np.array_equal(predicted[scored].astype(bool), known.scores[name][scored] > 0.5)
    assert meta(known.page)["labelSets"][0]["probes"] == dict.fromkeys(FEATURES, "good")


def test_neighbours_and_places_are_those_of_the_files(known: Known):
    held = columns(known.page)
    for number, name in enumerate(FEATURES):
        assert np.array_equal(held[f"nearest-{number}"].reshape(PATCHES, KEPT), known.nearest[name])
    place = held["place"].reshape(PATCHES, 2)
    assert np.isnan(place[7]).all()
    middle = (np.nanmin(known.places[:, 1]) + np.nanmax(known.places[:, 1])) / 2
    np.testing.assert_allclose(place[:, 1], known.places[:, 1], rtol=1e-6)
    np.testing.assert_allclose(place[:, 0] / np.cos(np.radians(middle)), known.places[:, 0], rtol=1e-5)
    coast = held["coast"].reshape(-1, 2)
    inside = (np.abs(coast[:, 1] - middle) < 13).any()
    assert inside


def test_each_patch_has_its_own_picture(known: Known):
    held, said = elements(known.page), meta(known.page)
    (sensor,) = (entry for entry in said["pictures"] if entry["sensor"] == "s2")
    assert sensor["colours"] == "true colour (B04, B03, B02)"
    numbers = columns(known.page)["picture-s2"]
    assert numbers[-1] == -1  # it has none of this sensor
    assert sorted(numbers[:-1]) == list(range(PATCHES - 1))
    side, size = sensor["side"], sensor["size"]
    assert size == 120
    for patch in (0, 8, 30, PATCHES - 2):
        sheet, place = divmod(int(numbers[patch]), side**2)
        image = np.asarray(Image.open(io.BytesIO(held[f"sheet-s2-{sheet}"])).convert("RGB"))
        top, left = place // side * size, place % side * size
        middle = image[top + size // 2, left + size // 2].astype(int)
        bands = dict(zip(("B04", "B03", "B02"), known.colours[patch].reshape(3, 1, 1).astype(np.uint16), strict=True))
        assert np.abs(middle - quick_look(bands)[0, 0]).max() < 12  # WebP rounds colours


def test_of_folds_no_patch_is_of_one_split(tmp_path: Path):
    assert meta(Known(tmp_path, folded=True).page)["split"] == ["tested by folds"]


def test_without_room_doubtful_patches_have_pictures_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("earthprobe.steps.doubts.EACH", 1)
    monkeypatch.setattr("earthprobe.storage.pictures.size_that_fits", lambda trials, counts, room: (32, 0.2))
    known = Known(tmp_path)
    pictured = columns(known.page)["picture-s1"] >= 0
    assert pictured.sum() == PATCHES // 5
    listed = {
        entry[0] for of_class in meta(known.page)["labelSets"][0]["doubts"] for kind in of_class for entry in kind
    }
    assert listed
    assert pictured[list(listed)].all()


def test_less_detail_where_it_does_not_fit():
    rng = np.random.default_rng(0)
    arrays = {
        "nearest-0": rng.integers(0, 5000, (5000, 10)).astype(np.uint32),
        "scores-0-0": rng.integers(0, 256, (5000, 19)).astype(np.uint8),
        "split": np.zeros(5000, np.uint8),
    }
    whole = explorer._that_fits(arrays, 1e9)
    assert all(np.array_equal(whole[name], array) for name, array in arrays.items())
    less = explorer._that_fits(arrays, 120_000)
    assert less["nearest-0"].shape[1] < 10
    assert np.array_equal(less["split"], arrays["split"])
    assert 0 < np.abs(less["scores-0-0"].astype(int) - arrays["scores-0-0"]).max() <= 26
    assert less["scores-0-0"].max() == 255
