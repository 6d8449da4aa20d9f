from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from earthprobe.storage.geotiff import frame_of
from earthprobe.storage.plain_tiff import encode
from earthprobe.storage.tiff import decode_band


@pytest.mark.parametrize(("size", "metres", "rows"), [(120, 10.0, 34), (60, 20.0, 60), (20, 60.0, 20), (5000, 1.0, 1)])
def test_rasterio_and_tifffile_read_it(tmp_path: Path, size: int, metres: float, rows: int):
    pixels = np.random.default_rng(0).integers(0, 10_000, (size, size), dtype=np.uint16)
    content = encode(pixels, 399960.0, 5900040.0, metres, 32633)
    (path := tmp_path / "band.tif").write_bytes(content)
    with rasterio.open(path) as image:
        np.testing.assert_array_equal(image.read(1), pixels)
        assert image.crs == rasterio.CRS.from_epsg(32633)
        assert tuple(image.transform)[:6] == (metres, 0.0, 399960.0, 0.0, -metres, 5900040.0)
        assert image.count == 1
        assert image.nodata is None
        assert image.block_shapes == [(rows, size)]
    with tifffile.TiffFile(path) as tiff:
        np.testing.assert_array_equal(tiff.asarray(), pixels)
        assert len(content) == tiff.pages.first.dataoffsets[-1] + tiff.pages.first.databytecounts[-1]
    np.testing.assert_array_equal(decode_band(content, "band.tif", size, "uint16"), pixels)
    assert frame_of(content) == (32633, 399960.0, 5900040.0 - size * metres, 399960.0 + size * metres, 5900040.0)


def test_files_of_other_places_differ_in_the_place_alone():
    pixels = np.zeros((20, 20), np.uint16)
    a, b = (np.frombuffer(encode(pixels, west, 0.0, 60.0, 32633), np.uint8) for west in (1.0, 2.0))
    assert 0 < (a != b).sum() <= 8
