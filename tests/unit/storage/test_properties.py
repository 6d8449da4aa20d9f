"""Whatever bytes arrive: a named reason, or what GDAL reads, too; never a crash or a wrong pixel."""

import io
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import tifffile
from earthprobe.storage.tiff import decode_band
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

T = TypeVar("T")
PIXELS = np.random.default_rng(0).normal(-12, 3, (120, 120)).astype(np.float32)
FORMS = {
    "as published": {"rowsperstrip": 17},
    "one strip": {},
    "deflate": {"compression": "zlib"},
    "lzw, predictor": {"compression": "lzw", "predictor": True},
    "tiles": {"tile": (64, 64)},
    "big-endian": {"byteorder": ">"},
}
relaxed = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def encoded(form: str) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, PIXELS, **FORMS[form])
    return stream.getvalue()


FILES = {form: encoded(form) for form in FORMS}


def attempt(read: Callable[..., T], *arguments: object) -> tuple[T | None, str]:
    """What is read, or the reason why not."""
    try:
        return read(*arguments), ""
    except ValueError as error:
        return None, str(error)


def by_rasterio(content: bytes) -> np.ndarray | None:
    """What GDAL reads; nothing where it reads nothing whole."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with MemoryFile(content) as memory, memory.open() as image:
                return image.read(1)
        except (RasterioError, ValueError):
            return None


@relaxed
@given(st.binary(max_size=4000))
def test_any_bytes_are_a_named_reason(content: bytes):
    with pytest.raises(ValueError, match=r"^x_VV.tif "):
        decode_band(content, "x_VV.tif")


@relaxed
@given(form=st.sampled_from(sorted(FORMS)), data=st.data())
def test_a_changed_header_is_a_reason_or_what_gdal_reads_too(form: str, data: st.DataObject):
    content = bytearray(FILES[form])
    # The directory and what it points to: the first bytes, and in files with compressed strips the last.
    places = [*range(min(600, len(content))), *range(max(0, len(content) - 300), len(content))]
    for place in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    pixels, reason = attempt(decode_band, bytes(content), "x_VV.tif")
    if pixels is None:
        assert reason.startswith("x_VV.tif ")
        return
    assert np.isfinite(pixels).all()
    if not np.array_equal(pixels, PIXELS):  # then the file says so, and GDAL reads that, too
        theirs = by_rasterio(bytes(content))
        if theirs is not None and theirs.dtype == np.float32:
            np.testing.assert_array_equal(pixels, theirs)


@relaxed
@given(form=st.sampled_from(sorted(FORMS)), share=st.floats(0, 0.999))
def test_a_file_that_is_cut_anywhere_is_a_reason_or_whole(form: str, share: float):
    content = FILES[form][: int(share * len(FILES[form]))]
    pixels, reason = attempt(decode_band, content, "x_VV.tif")
    if pixels is None:
        assert reason.startswith("x_VV.tif ")
    else:
        np.testing.assert_array_equal(pixels, PIXELS)


REFLECTANCE = np.random.default_rng(0).integers(0, 10_000, (60, 60), dtype=np.uint16)
OPTICAL = {"as published": {}, "deflate": {"compression": "zlib"}, "big-endian": {"byteorder": ">"}}


@relaxed
@given(form=st.sampled_from(sorted(OPTICAL)), data=st.data())
def test_a_changed_header_of_reflectance_is_a_reason_or_what_gdal_reads_too(form: str, data: st.DataObject):
    stream = io.BytesIO()
    tifffile.imwrite(stream, REFLECTANCE, **OPTICAL[form])
    content = bytearray(stream.getvalue())
    places = [*range(min(600, len(content))), *range(max(0, len(content) - 300), len(content))]
    for place in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    pixels, reason = attempt(decode_band, bytes(content), "x_B05.tif", 60, "uint16")
    if pixels is None:
        assert reason.startswith("x_B05.tif ")
        return
    assert (pixels.shape, pixels.dtype) == ((60, 60), np.uint16)
    if not np.array_equal(pixels, REFLECTANCE):
        theirs = by_rasterio(bytes(content))
        if theirs is not None and theirs.dtype == np.uint16:
            np.testing.assert_array_equal(pixels, theirs)
