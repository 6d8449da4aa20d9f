"""Bands out of files of any kind, against rasterio and the libraries that wrote them."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import rasterio
import tifffile
from earthprobe.storage.rasters import Stack, band_of, decode, decode_all, fitted
from hypothesis import given
from hypothesis import strategies as st

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("compress", [None, "deflate", "lzw", "zstd"])
@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_geotiffs_of_any_type_and_compression(tmp_path: Path, dtype: str, compress: str | None, interleave: str):
    pixels = (RNG.random((3, 12, 20)) * 100).astype(dtype)
    path = tmp_path / "x.tif"
    given: dict[str, Any] = {"driver": "GTiff", "count": 3, "height": 12, "width": 20, "dtype": dtype}
    with rasterio.open(path, "w", **given, interleave=interleave, compress=compress) as image:
        image.write(pixels)
    stack = decode_all(path.read_bytes(), "x.tif")
    assert stack.pixels.dtype == dtype
    assert stack.missing is None
    np.testing.assert_array_equal(stack.pixels, pixels)
    np.testing.assert_array_equal(decode(path.read_bytes(), "x.tif", 2).pixels, pixels[1])


def test_missing_pixels_are_those_of_the_files_own_tag(tmp_path: Path):
    pixels = np.ones((2, 8, 8), np.int16)
    pixels[1, 3, 4] = -1
    path = tmp_path / "x.tif"
    with rasterio.open(path, "w", driver="GTiff", count=2, height=8, width=8, dtype="int16", nodata=-1) as image:
        image.write(pixels)
    first, second = (decode(path.read_bytes(), "x.tif", number) for number in (1, 2))
    assert first.missing is not None
    assert second.missing is not None
    assert (first.missing.sum(), second.missing.sum()) == (0, 1)
    assert second.missing[3, 4]


def test_a_mask_is_of_all_bands(tmp_path: Path):
    path = tmp_path / "x.tif"
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", count=1, height=8, width=8, dtype="uint8") as image,
    ):
        image.write(np.ones((1, 8, 8), np.uint8))
        image.write_mask(np.arange(64).reshape(8, 8) > 2)
    missing = decode(path.read_bytes(), "x.tif").missing
    assert missing is not None
    assert missing.sum() == 3


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pictures(dtype: str):
    pixels = (RNG.random((16, 16, 3)) * 200).astype(dtype)
    png = imagecodecs.png_encode(pixels)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(decode(png, "a.PNG", number).pixels, pixels[..., number - 1])
    if dtype == "uint8":
        jpeg = imagecodecs.jpeg8_encode(pixels, level=100)
        np.testing.assert_array_equal(decode(jpeg, "a.jpg", 2).pixels, imagecodecs.jpeg8_decode(jpeg)[..., 1])


def test_arrays():
    for pixels in (RNG.random((4, 4)), RNG.random((3, 4, 4)).astype(np.float32)):
        stream = io.BytesIO()
        np.save(stream, pixels)
        np.testing.assert_array_equal(decode_all(stream.getvalue(), "a.npy").pixels, np.atleast_3d(pixels.T).T)


def test_an_array_that_would_run_code_is_refused(tmp_path: Path):
    stream = io.BytesIO()
    np.save(stream, np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"^a.npy cannot be read: Object arrays cannot be loaded"):
        decode(stream.getvalue(), "a.npy")


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", "a.tif", "a.tif cannot be read: "),
        (b"abc", "a.png", "a.png cannot be read: "),
        (b"abc", "a.jp2", "files that end in .jp2 are not read: .tif, .png, .jpg and .npy are"),
        (b"abc", "none", "files that end in .none are not read"),
    ],
)
def test_what_cannot_be_read_is_named(content: bytes, name: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        decode(content, name)


def attempt(content: bytes, name: str) -> tuple[Stack | None, str]:
    """What is read, or the reason why not."""
    try:
        return decode_all(content, name), ""
    except ValueError as error:
        return None, str(error)


@given(st.binary(max_size=3000), st.sampled_from(["a.tif", "a.png", "a.jpg", "a.npy"]))
def test_any_bytes_are_a_named_reason_or_pixels(content: bytes, name: str):
    stack, reason = attempt(content, name)
    assert stack.pixels.ndim == 3 if stack else reason.startswith(f"{name} ")


def test_a_band_that_a_file_lacks_is_named():
    with pytest.raises(ValueError, match="^a.tif has 2 bands, no 3$"):
        band_of(Stack(np.zeros((2, 4, 4)), None), "a.tif", 3)


def test_a_type_that_is_none_of_pixels_is_named():
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((4, 4), np.complex64))
    with pytest.raises(ValueError, match="^a.tif holds complex64, which is none of float32, "):
        decode(stream.getvalue(), "a.tif")


def test_a_crop_depends_on_the_id_alone_and_is_at_one_place_in_all_bands():
    rows, columns = np.mgrid[:40, :60]
    down = [fitted(rows, 16, "crop", f"p{i}")[0, 0] for i in range(200)]
    right = [fitted(columns, 16, "crop", f"p{i}")[0, 0] for i in range(200)]
    assert {min(down), max(down)} == {0, 24}
    assert {min(right), max(right)} == {0, 44}
    assert fitted(rows, 16, "crop", "p7").shape == (16, 16)
    np.testing.assert_array_equal(fitted(rows, 16, "crop", "p7"), fitted(rows, 16, "crop", "p7"))
    # A band of half the resolution is cut at the same place on the ground, to its own pixel.
    for i in range(200):
        assert abs(fitted(rows[::2], 8, "crop", f"p{i}")[0, 0] - down[i]) <= 2
    with pytest.raises(ValueError, match="has 40 x 60 pixels, fewer than 50"):
        fitted(rows, 50, "crop", "p")


def test_a_resize_is_bilinear_and_keeps_the_type():
    flat = fitted(np.full((10, 14), 7, np.uint16), 5, "resize", "p")
    assert (flat.shape, flat.dtype) == ((5, 5), np.uint16)
    assert (flat == 7).all()
    ramp = np.tile(np.arange(20, dtype=np.float32), (20, 1))
    np.testing.assert_allclose(fitted(ramp, 10, "resize", "p")[5, 2:8], np.arange(2, 8) * 2 + 0.5, atol=1e-4)
