import numpy as np
import pytest
from earthprobe.storage.quick_look import quick_look


def test_quick_looks_are_red_green_blue_by_band():
    vv, vh = np.full((120, 120), -3.0, np.float32), np.full((120, 120), -29.0, np.float32)
    image = quick_look({"VV": vv, "VH": vh})
    assert image.shape == (120, 120, 3)
    assert image[0, 0].tolist() == [255, 0, 255]


def test_quick_looks_of_reflectance_are_true_colour():
    planes = {f"B{n:02d}": np.full((120, 120), 250 * n, np.uint16) for n in (2, 3, 4, 8)}
    image = quick_look(planes | {"B04": np.full((120, 120), 65535, np.uint16)})
    assert image.shape == (120, 120, 3)
    assert image[0, 0].tolist() == [255, int(255 * 0.25**0.6), int(255 * (1 / 6) ** 0.6)]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_quick_looks_of_other_bands_are_stretched(count: int):
    planes = {f"b{n}": np.arange(16, dtype=np.int16).reshape(4, 4) * (n + 1) for n in range(count)}
    image = quick_look(planes, dict.fromkeys(planes, "numbers"))
    assert image.shape == (4, 4, 3)
    assert (image.min(), image.max()) == (0, 255)
    assert quick_look({"b": np.ones((4, 4))}, {"b": "numbers"}).max() == 0
