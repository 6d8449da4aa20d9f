"""Extents of GeoTIFFs, against rasterio."""

import struct
from io import BytesIO

import numpy as np
import pytest
import rasterio
import tifffile
from earthprobe.storage.geotiff import Frame, centre, corners, disagreement, frame_of
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform

from tests.conftest import SHARED, needs

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

UTM33 = {"crs": "EPSG:32633", "transform": from_origin(373200, 5350800, 10, 10)}


def written(**more: object) -> bytes:
    profile = {"driver": "GTiff", "width": 12, "height": 8, "count": 1, "dtype": "uint16", **UTM33, **more}
    with MemoryFile() as memory:
        with memory.open(**profile) as image:
            image.write(np.ones((1, 8, 12), "uint16"))
        return bytes(memory.read())


def test_frames_of_real_patches_are_rasterios():
    paths = sorted(needs(SHARED / "real-patches").glob("S?/*/*.tif"))
    found = 0
    for path in paths:
        frame = frame_of(path.read_bytes())
        with rasterio.open(path) as image:
            if image.crs is None:
                assert frame is None, path
                continue
            assert frame is not None, path
            assert frame.epsg == image.crs.to_epsg()
            np.testing.assert_allclose(frame[1:], image.bounds)
            found += 1
    assert found > 100


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ENDIANNESS": "BIG"},
        {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16},
        {"crs": "EPSG:4326", "transform": from_origin(13.25, 48.5, 0.0001, 0.00015)},
        {"crs": "EPSG:3035", "transform": from_origin(4_321_000, 3_210_000, 20, 20)},
    ],
)
def test_frames_of_what_rasterio_writes(more: dict[str, object]):
    content = written(**more)
    frame = frame_of(content)
    with MemoryFile(content) as memory, memory.open() as image:
        assert frame is not None
        assert frame.epsg == image.crs.to_epsg()
        np.testing.assert_allclose(frame[1:], image.bounds)
        middle = image.transform @ (image.width / 2, image.height / 2)
        wanted = [values[0] for values in transform(image.crs, "EPSG:4326", [middle[0]], [middle[1]])]
        np.testing.assert_allclose(centre(frame), wanted, atol=1e-9)


def test_a_tie_point_can_be_a_pixels_centre():
    extra = [
        (33550, "d", 3, (10.0, 10.0, 0.0), False),
        (33922, "d", 6, (0.0, 0.0, 0.0, 373205.0, 5350795.0, 0.0), False),
        (34735, "H", 12, (1, 1, 0, 2, 1025, 0, 1, 2, 3072, 0, 1, 32633), False),
    ]
    buffer = BytesIO()
    tifffile.imwrite(buffer, np.ones((8, 12), np.uint16), extratags=extra)
    with MemoryFile(buffer.getvalue()) as memory, memory.open() as image:
        assert image.bounds == (373200, 5350720, 373320, 5350800)
    assert frame_of(buffer.getvalue()) == Frame(32633, 373200, 5350720, 373320, 5350800)


def test_a_turned_raster_and_one_without_a_place_have_none():
    turned = Affine.translation(373200, 5350800) @ Affine.rotation(30) @ Affine.scale(10, -10)
    assert frame_of(written(transform=turned)) is None
    assert frame_of(written(crs=None, transform=None)) is None
    assert frame_of(b"") is None
    assert frame_of(b"\x89PNG\r\n\x1a\n") is None


@given(st.data())
def test_a_damaged_header_has_a_frame_or_none(data: st.DataObject):
    content = bytearray(written())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    frame = frame_of(bytes(content[: data.draw(st.integers(0, len(content)))]))
    assert frame is None or isinstance(frame.epsg, int)


def test_corners_and_the_middle_are_those_of_the_frame():
    frame = Frame(32633, 373200.0, 5350720.0, 373320.0, 5350800.0)
    west_south = [v[0] for v in transform("EPSG:32633", "EPSG:4326", [373200], [5350720])]
    np.testing.assert_allclose(corners(frame)[0], west_south, atol=1e-9)
    assert not disagreement(frame, *centre(frame), 1.0)
    assert not disagreement(frame, centre(frame)[0] + 0.0004, centre(frame)[1], None)
    assert disagreement(frame, *centre(frame)[::-1], None)
    off = [values[0] for values in transform("EPSG:32633", "EPSG:4326", [373265], [5350760])]
    message = "lies at 373260, 5350760 (EPSG:32633) by its GeoTIFF tags, and the patch at 373265, 5350760"
    assert disagreement(frame, *off, 1.0).startswith(message[:60])
    assert disagreement(frame._replace(epsg=1), 13, 48, None).startswith("lies in a coordinate system that is not")


def test_a_size_without_a_figure_is_no_frame():
    content = bytearray(written())
    (start,) = struct.unpack_from("<I", content, 4)
    for entry in range(struct.unpack_from("<H", content, start)[0]):
        at = start + 2 + 12 * entry
        if struct.unpack_from("<H", content, at)[0] in (256, 257):
            struct.pack_into("<I", content, at + 4, 0)
    assert frame_of(bytes(content)) is None
