"""What is said of data, weights and bands."""

import pytest
from earthprobe.describe import RADAR, describe_weights, is_random, summed_bands
from earthprobe.models.dofa import PLACEHOLDER


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({"kind": "dofa", "bands": ["VV", "VH"], "wavelengths": [3.75, 3.75]}, [["VV", "VH"]]),
        ({"kind": "dofa", "bands": ["VV", "VH"], "wavelengths": None}, [["VV", "VH"]]),
        ({"kind": "dofa", "bands": ["VV", "VH", "B02"], "wavelengths": None}, [["VV", "VH"]]),
        ({"kind": "dofa", "bands": ["B02", "B03"], "wavelengths": None}, []),
        ({"kind": "dofa", "bands": ["VV", "VH"], "wavelengths": [5.4, 5.6]}, []),
        ({"kind": "dofa", "bands": ["VV", "VH"], "wavelengths": [3.75, 3.75], "combine": "concat"}, []),
        ({"kind": "galileo", "bands": ["VV", "VH"]}, []),
    ],
)
def test_bands_of_one_wavelength(entry: dict[str, object], wanted: list[list[str]]):
    assert summed_bands(entry) == wanted


def test_the_wavelength_of_radar_is_dofas():
    assert RADAR == PLACEHOLDER


def test_a_file_that_is_called_random_is_none():
    assert is_random(describe_weights({"weights": "random:3"}))
    assert not is_random(describe_weights({"weights": "random_crop_mae.pth"}))
