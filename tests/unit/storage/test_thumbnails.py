import io

import numpy as np
import pytest
from earthprobe.storage.thumbnails import SIDE, SIZES, sheets, size_that_fits, small
from PIL import Image


def noisy(count: int, size: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def test_pictures_lie_row_by_row_on_sheets():
    colours = np.random.default_rng(1).integers(0, 256, (SIDE**2 + 3, 3))
    pictures = np.broadcast_to(colours[:, None, None], (len(colours), 48, 48, 3)).astype(np.uint8)
    files = sheets(pictures)
    assert len(files) == 2
    for number, colour in enumerate(colours):
        sheet, place = divmod(number, SIDE**2)
        image = np.asarray(Image.open(io.BytesIO(files[sheet])).convert("RGB"))
        row, column = divmod(place, SIDE)
        middle = image[row * 48 + 24, column * 48 + 24].astype(int)
        assert np.abs(middle - colour).max() < 16, number


def test_a_smaller_picture_is_the_mean_of_its_pixels():
    picture = noisy(1)[0]
    means = picture.reshape(60, 2, 60, 2, 3).mean(axis=(1, 3))
    assert np.abs(small(picture, 60) - means).max() <= 1
    assert small(picture, 120) is picture
    assert small(noisy(1, 20)[0], 48).shape == (48, 48, 3)


@pytest.mark.parametrize("size", SIZES)
def test_pictures_are_as_large_as_fits(size: int):
    some = noisy(SIDE**2)
    needed = sum(len(file) for file in sheets(np.stack([small(one, size) for one in some])))
    assert size_that_fits([some, some], [len(some)] * 2, 2 * needed) == (size, 1.0)


def test_where_not_even_the_smallest_fit_a_share_does():
    some = noisy(SIDE**2)
    needed = sum(len(file) for file in sheets(np.stack([small(one, SIZES[-1]) for one in some])))
    assert size_that_fits([some], [10 * len(some)], 5 * needed) == (SIZES[-1], 0.5)
    none = np.empty((0, 1, 1, 3), np.uint8)
    assert size_that_fits([none], [0], 5) == (SIZES[0], 1.0)
    assert size_that_fits([none], [0], -5) == (SIZES[-1], 1.0)  # a page that is too large without any
