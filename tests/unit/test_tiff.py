from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from earthprobe.tiff import read_band
from torchgeo.datasets import BigEarthNet

SMOOTH = np.linspace(-20, -5, 14400, dtype=np.float32).reshape(120, 120)


def test_every_real_band_equals_rasterios_float32(v1_patches: list[Path]):
    for folder in v1_patches:
        for band in ("VV", "VH"):
            path = folder / f"{folder.name}_{band}.tif"
            with rasterio.open(path) as image:
                np.testing.assert_array_equal(read_band(path), image.read(1))


def test_torchgeos_reader_loses_the_decimals(v1_sample: Path):
    dataset = BigEarthNet(str(v1_sample), split="test", bands="s1")
    theirs = dataset[0]["image"].numpy()  # VH, VV: sorted by file name
    name = Path(dataset.folders[0]["s1"]).name
    ours = np.stack([read_band(Path(dataset.folders[0]["s1"]) / f"{name}_{b}.tif") for b in ("VH", "VV")])
    assert not np.array_equal(ours, theirs)
    np.testing.assert_array_equal(np.rint(ours), theirs)


@pytest.mark.parametrize(
    "options",
    [{"compression": "zlib"}, {"compression": "lzw", "predictor": 3}, {"tile": (64, 64)}, {"byteorder": ">"}],
    ids=str,
)
def test_other_encodings_of_the_same_pixels(tmp_path: Path, options: dict):
    path = tmp_path / "x_VV.tif"
    tifffile.imwrite(path, SMOOTH, **options)
    values = read_band(path)
    np.testing.assert_array_equal(values, SMOOTH)
    assert values.dtype.isnative


def broken(path: Path, how: str) -> None:
    pixels = SMOOTH.copy()
    match how:
        case "nan":
            pixels[3, 4] = np.nan
        case "infinite":
            pixels[3, 4] = np.inf
        case "both infinities":
            pixels[3, 4], pixels[5, 6] = np.inf, -np.inf
        case "shape":
            pixels = pixels[:60]
        case "type":
            pixels = pixels.astype(np.int16)
    tifffile.imwrite(path, pixels)
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    if how == "header only":
        path.write_bytes(content[:20])
    if how == "foreign":
        path.write_bytes(b"<html>404</html>")
    if how == "empty":
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("nan", "NaN or infinite"),
        ("infinite", "NaN or infinite"),
        ("both infinities", "NaN or infinite"),
        ("shape", r"shape \(60, 120\)"),
        ("type", "int16, not float32"),
        ("truncated", "cannot be read"),
        ("header only", "cannot be read"),
        ("foreign", "cannot be read"),
        ("empty", "cannot be read"),
    ],
)
def test_a_broken_file_is_a_reason(tmp_path: Path, how: str, reason: str):
    path = tmp_path / "x_VV.tif"
    broken(path, how)
    with pytest.raises(ValueError, match=f"x_VV.tif .*{reason}"):
        read_band(path)


def test_a_missing_file_is_a_reason(tmp_path: Path):
    with pytest.raises(ValueError, match="x_VH.tif is missing"):
        read_band(tmp_path / "x_VH.tif")
