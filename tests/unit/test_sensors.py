from pathlib import Path

from earthprobe.sensors import BANDS, SIZE, bands_of
from torchgeo.datasets import Sentinel2
from torchgeo.datasets.utils import sort_sentinel2_bands

from tests.conftest import SHARED, needs


def test_order_wavelengths_and_resolutions_are_torchgeos():
    level_2a = [band for band in Sentinel2.all_bands if band != "B10"]
    assert list(bands_of("s2")) == level_2a
    for name in level_2a:
        assert BANDS[name].wavelength == Sentinel2.wavelengths[name]
        assert 1200 / BANDS[name].size == int(Sentinel2.resolutions[name].removesuffix("m"))


def test_the_published_files_are_these_in_torchgeos_order():
    patches = sorted(needs(SHARED / "bigearthnet-v1-sample/BigEarthNet-v1.0").iterdir())
    patches += sorted(needs(SHARED / "reben-sample/BigEarthNet-S2").glob("*/*"))
    assert len(patches) == 16
    for patch in patches:
        files = sorted(patch.glob("*.tif"), key=lambda path: sort_sentinel2_bands(str(path)))
        assert [Path(file).stem.rpartition("_")[2] for file in files] == list(bands_of("s2"))


def test_radar_is_vv_first_at_10_m_without_a_wavelength():
    assert bands_of("s1") == ("VV", "VH")
    assert {BANDS[band].size for band in bands_of("s1")} == {SIZE}
    assert {BANDS[band].wavelength for band in bands_of("s1")} == {None}
