import io
import struct
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from earthprobe.sensors import BANDS
from earthprobe.storage.tiff import decode_band, plain_start
from rasterio.windows import Window
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, needs, read_band

SPECKLE = np.random.default_rng(0).normal(-12, 5, (120, 120)).astype(np.float32)
SMOOTH = np.linspace(-20, -5, 14400, dtype=np.float32).reshape(120, 120)


def test_every_real_band_equals_rasterios_float32(v1_patches: list[Path]):
    for folder in v1_patches:
        for band in ("VV", "VH"):
            path = folder / f"{folder.name}_{band}.tif"
            with rasterio.open(path) as image:
                np.testing.assert_array_equal(read_band(path), image.read(1))


def test_every_real_reflectance_equals_rasterios_and_is_plain():
    patches = [*needs(SHARED / "bigearthnet-v1-sample/BigEarthNet-v1.0").iterdir()]
    patches += needs(SHARED / "reben-sample/BigEarthNet-S2").glob("*/*")
    files = [path for patch in patches for path in patch.glob("*.tif")]
    assert len(files) == 16 * 12
    for path in files:
        band = BANDS[path.stem.rpartition("_")[2]]
        assert plain_start(path.read_bytes(), band.size, band.dtype) is not None
        pixels = read_band(path)
        assert pixels.dtype == np.uint16
        with rasterio.open(path) as image:
            np.testing.assert_array_equal(pixels, image.read(1))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (16, 16)}], ids=str)
def test_reflectance_of_any_encoding_is_read(tmp_path: Path, options: dict[str, Any]):
    pixels = np.random.default_rng(0).integers(0, 2**16, (60, 60), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "x_B05.tif", pixels, **options)
    np.testing.assert_array_equal(read_band(tmp_path / "x_B05.tif"), pixels)


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ((120, 120), "uint16", r"has shape \(120, 120\), not \(60, 60\)"),
        ((60, 60), "float32", "holds float32, not uint16"),
        ((60, 60), "int16", "holds int16, not uint16"),
        ((60, 60), "uint8", "holds uint8, not uint16"),
    ],
)
def test_another_kind_of_reflectance_is_a_reason(tmp_path: Path, shape: tuple[int, int], dtype: str, reason: str):
    tifffile.imwrite(tmp_path / "x_B05.tif", np.ones(shape, dtype))
    with pytest.raises(ValueError, match=f"^x_B05.tif {reason}$"):
        read_band(tmp_path / "x_B05.tif")


def test_torchgeos_reader_loses_the_decimals(v1_sample: Path):
    dataset = BigEarthNet(str(v1_sample), split="test", bands="s1")
    theirs = dataset[0]["image"].numpy()  # VH, VV: sorted by file name
    name = Path(dataset.folders[0]["s1"]).name
    ours = np.stack([read_band(Path(dataset.folders[0]["s1"]) / f"{name}_{b}.tif") for b in ("VH", "VV")])
    assert not np.array_equal(ours, theirs)
    np.testing.assert_array_equal(np.rint(ours), theirs)


def test_real_files_are_plain_and_read_the_same_by_tifffile(v1_patches: list[Path]):
    for folder in v1_patches:
        for band in ("VV", "VH"):
            path = folder / f"{folder.name}_{band}.tif"
            assert plain_start(path.read_bytes()) is not None
            np.testing.assert_array_equal(read_band(path), tifffile.imread(path))


PLAIN_KINDS: list[dict] = [{}, {"rowsperstrip": 120}, {"rowsperstrip": 17}, {"rowsperstrip": 1}]
OTHER_KINDS: list[dict] = [
    {"tile": (64, 64)},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": 3},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": 3},
    {"compression": "lzw", "predictor": 3, "tile": (128, 128)},
    {"compression": "zstd"},
    {"byteorder": ">"},
    {"byteorder": ">", "compression": "zlib"},
    {"bigtiff": True},
    {"photometric": "miniswhite"},
]


@pytest.mark.parametrize("options", PLAIN_KINDS + OTHER_KINDS, ids=str)
@pytest.mark.parametrize("writer", ["tifffile", "rasterio"])
def test_every_kind_of_file_gives_the_same_pixels(tmp_path: Path, options: dict, writer: str):
    path = tmp_path / "x_VV.tif"
    if writer == "tifffile":
        tifffile.imwrite(path, SPECKLE, metadata=None, **options)
    else:
        write_by_gdal(path, **options)
    values = read_band(path)
    np.testing.assert_array_equal(values, SPECKLE)
    assert values.dtype == np.float32
    assert values.dtype.isnative
    with rasterio.open(path) as image:
        np.testing.assert_array_equal(values, image.read(1))
    assert (plain_start(path.read_bytes()) is not None) == (options in PLAIN_KINDS)


def write_by_gdal(path: Path, **options: Any) -> None:
    """The same kinds as GDAL writes them, with a place on earth."""
    names = {"zlib": "DEFLATE", "lzw": "LZW", "zstd": "ZSTD"}
    profile: dict[str, Any] = {"compress": names[options["compression"]]} if "compression" in options else {}
    profile["predictor"] = options.get("predictor", 1)
    if "tile" in options:
        profile |= {"tiled": True, "blockxsize": options["tile"][1], "blockysize": options["tile"][0]}
    if "rowsperstrip" in options:
        profile["blockysize"] = options["rowsperstrip"]
    if options.get("photometric") == "miniswhite":
        profile["photometric"] = "MINISWHITE"
    profile |= {
        "BIGTIFF": "YES" if "bigtiff" in options else "NO",
        "endianness": "BIG" if "byteorder" in options else "LITTLE",
    }
    where = rasterio.transform.from_origin(300000, 5100000, 10, 10)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=120,
        height=120,
        count=1,
        dtype="float32",
        crs="EPSG:32633",
        transform=where,
        **profile,
    ) as image:
        image.write(SPECKLE, 1)


def patched(content: bytes, tag: int, value: int, kind: int | None = None) -> bytes:
    """A plain little-endian TIFF with another value in one entry of its directory."""
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    changed = bytearray(content)
    for place in range(directory + 2, directory + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", content, place)[0] == tag:
            if kind is not None:
                struct.pack_into("<H", changed, place + 2, kind)
            struct.pack_into("<I", changed, place + 8, value)
            return bytes(changed)
    raise AssertionError(tag)


@pytest.mark.parametrize(
    ("tag", "value"),
    [(256, 121), (257, 119), (258, 16), (259, 5), (262, 0), (277, 2), (278, 0), (278, 7), (339, 1)],
)
def test_a_file_that_contradicts_itself_goes_to_the_library(tmp_path: Path, tag: int, value: int):
    path = tmp_path / "x_VV.tif"
    tifffile.imwrite(path, SPECKLE, metadata=None, rowsperstrip=17)
    content = path.read_bytes()
    assert plain_start(content) is not None
    assert plain_start(patched(content, tag, value)) is None


def test_strips_in_another_order_go_to_the_library(tmp_path: Path):
    path = tmp_path / "x_VV.tif"
    tifffile.imwrite(path, SPECKLE, metadata=None, rowsperstrip=60)
    with tifffile.TiffFile(path) as file:
        first, second = file.pages[0].dataoffsets
        at = file.pages[0].tags[273].valueoffset
    content = bytearray(path.read_bytes())
    content[first : first + 28800], content[second : second + 28800] = (
        content[second : second + 28800],
        content[first : first + 28800],
    )
    struct.pack_into("<II", content, at, second, first)
    path.write_bytes(content)
    assert plain_start(bytes(content)) is None
    np.testing.assert_array_equal(read_band(path), SPECKLE)


def test_a_second_page_is_not_overlooked(tmp_path: Path):
    path = tmp_path / "x_VV.tif"
    tifffile.imwrite(path, np.stack([SPECKLE, SPECKLE]), metadata=None)
    assert plain_start(path.read_bytes()) is None
    with pytest.raises(ValueError, match=r"shape \(2, 120, 120\)"):
        read_band(path)


@pytest.mark.parametrize("start", [0, 4, 100])
def test_pixels_that_overlap_the_header_are_not_plain(tmp_path: Path, start: int):
    path = tmp_path / "x_VV.tif"
    tifffile.imwrite(path, SPECKLE, metadata=None, rowsperstrip=120)
    path.write_bytes(patched(path.read_bytes(), 273, start))
    assert plain_start(path.read_bytes()) is None


def counted(content: bytes, tag: int, count: int) -> bytes:
    """A TIFF whose entry says another number of values."""
    at = next(
        place
        for place in range(8, len(content) - 12, 2)
        if struct.unpack_from("<HH", content, place) in ((tag, 3), (tag, 4))
    )
    changed = bytearray(content)
    struct.pack_into("<I", changed, at + 4, count)
    return bytes(changed)


@pytest.mark.parametrize("options", [{"compression": "zlib"}, {"compression": "lzw"}, {"tile": (64, 64)}], ids=str)
@pytest.mark.parametrize("what", ["offsets", "byte counts"])
@pytest.mark.parametrize("how", ["fewer", "a zero"])
def test_a_missing_strip_or_tile_is_not_filled_with_zeros(tmp_path: Path, options: dict, what: str, how: str):
    path = tmp_path / "x_VV.tif"
    tifffile.imwrite(path, SPECKLE, metadata=None, **({"rowsperstrip": 30} if "tile" not in options else {}), **options)
    np.testing.assert_array_equal(read_band(path), SPECKLE)
    content = path.read_bytes()
    tag = (
        (("offsets", 273), ("byte counts", 279)) if "tile" not in options else (("offsets", 324), ("byte counts", 325))
    )
    with tifffile.TiffFile(path) as file:
        values = file.pages[0].tags[dict(tag)[what]]
    if how == "fewer":
        content = counted(content, values.code, 2)
    else:
        width = 4 if values.dtype == 4 else 2
        content = bytearray(content)
        content[values.valueoffset + width : values.valueoffset + 2 * width] = bytes(width)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="^x_VV.tif ") as caught:
        read_band(path)
    if how == "a zero":
        assert str(caught.value).endswith(" lacks strips or tiles: it has 3 of 4")


def test_a_header_that_declares_gigabytes_is_refused_before_they_are_taken(tmp_path: Path):
    path = tmp_path / "x_VV.tif"
    tifffile.imwrite(path, SPECKLE, metadata=None, rowsperstrip=17)
    path.write_bytes(patched(path.read_bytes(), 257, 2**30, kind=4))
    tracemalloc.start()
    with pytest.raises(ValueError, match="x_VV.tif"):
        read_band(path)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


@pytest.mark.parametrize("cut", [0, 3, 7, 8, 9, 30, 200, -1, -57_601])
def test_the_plain_path_never_reads_a_cut_file(tmp_path: Path, cut: int):
    path = tmp_path / "x_VV.tif"
    tifffile.imwrite(path, SPECKLE, metadata=None)
    assert plain_start(path.read_bytes()[:cut]) is None


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


def with_nodata(pixels: np.ndarray, text: str, **options: Any) -> bytes:
    """A file whose GDAL tag names the value of pixels that are missing."""
    stream = io.BytesIO()
    tag = (42113, "s", 0, text, True)
    tifffile.imwrite(stream, pixels, metadata=None, rowsperstrip=17, extratags=[tag], **options)
    return stream.getvalue()


def gap(value: float, pixels: np.ndarray = SPECKLE) -> np.ndarray:
    """Pixels of which the first 400 have a value."""
    changed = pixels.copy()
    changed.flat[:400] = value
    return changed


ENCODINGS: list[dict[str, Any]] = [{}, {"compression": "zlib"}, {"byteorder": ">"}]


@pytest.mark.parametrize("options", ENCODINGS, ids=str)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-99", -99),
        ("-9999", -9999),
        (" -9999.0 ", -9999),
        ("-3.4028234663852886e+38", -3.4028234663852886e38),
        ("0.1", 0.1),
        ("nan", np.nan),
    ],
)
def test_pixels_of_the_files_nodata_value_are_missing(options: dict[str, Any], text: str, value: float):
    """Its text lies in the directory where it has four bytes, its end among them, and elsewhere where it is longer."""
    content = with_nodata(gap(value), text, **options)
    assert (plain_start(content) is not None) == (not options)
    with pytest.raises(ValueError, match=rf"^x_VV.tif {MISSING}$"):
        decode_band(content, "x_VV.tif")
    np.testing.assert_array_equal(decode_band(with_nodata(SPECKLE, text, **options), "x_VV.tif"), SPECKLE)


MISSING = "lacks 400 of 14400 pixels: they are masked, or have its nodata value"


@pytest.mark.parametrize("options", ENCODINGS, ids=str)
@pytest.mark.parametrize("text", ["", "none", "n/a", "-", "1e400", "-1.7976931348623157e+308"])
def test_a_nodata_value_that_no_pixel_can_have_hides_none(options: dict[str, Any], text: str):
    content = with_nodata(SPECKLE, text, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(decode_band(content, "x_VV.tif"), SPECKLE)


@pytest.mark.parametrize("options", ENCODINGS, ids=str)
def test_reflectance_of_the_files_nodata_value_is_missing(options: dict[str, Any]):
    pixels = np.random.default_rng(0).integers(1, 10_000, (120, 120), dtype=np.uint16)
    for text, value in (("0", 0), ("65535", 65535)):
        with pytest.raises(ValueError, match=rf"^x_B02.tif {MISSING}$"):
            decode_band(with_nodata(gap(value, pixels), text, **options), "x_B02.tif", 120, "uint16")
    for text in ("0", "65535", "-9999", "0.5", "nan"):
        content = with_nodata(pixels, text, **options)
        np.testing.assert_array_equal(decode_band(content, "x_B02.tif", 120, "uint16"), pixels)


@pytest.mark.parametrize("options", [{}, {"compress": "deflate"}, {"tiled": True, "blockxsize": 64, "blockysize": 64}])
@pytest.mark.parametrize("nodata", [-9999, 0, np.nan])
def test_pixels_of_a_nodata_value_that_gdal_wrote_are_missing(tmp_path: Path, options: dict[str, Any], nodata: float):
    path = tmp_path / "x_VV.tif"
    write_by_rasterio(path, SPECKLE, nodata=nodata, **options)
    with rasterio.open(path) as image:
        np.testing.assert_array_equal(read_band(path), image.read(1))
    write_by_rasterio(path, gap(nodata), nodata=nodata, **options)
    with pytest.raises(ValueError, match=rf"^x_VV.tif {MISSING}$"):
        read_band(path)


def write_by_rasterio(path: Path, pixels: np.ndarray, mask: np.ndarray | None = None, **options: Any) -> None:
    profile = {"driver": "GTiff", "width": 120, "height": 120, "count": 1, "dtype": "float32", "crs": "EPSG:32633"}
    where = rasterio.transform.from_origin(300000, 5100000, 10, 10)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile, transform=where, **options) as image,
    ):
        image.write(pixels, 1)
        if mask is not None:
            image.write_mask(mask)


@pytest.mark.parametrize("options", [{}, {"compress": "deflate"}, {"nodata": -9999}], ids=str)
def test_pixels_that_a_mask_hides_are_missing(tmp_path: Path, options: dict[str, Any]):
    path = tmp_path / "x_VV.tif"
    write_by_rasterio(path, SPECKLE, np.full((120, 120), 255, np.uint8), **options)
    with rasterio.open(path) as image:
        np.testing.assert_array_equal(read_band(path), image.read(1))
    mask = gap(0, np.full((120, 120), 255, np.uint8))
    for pixels in (SPECKLE, gap(-9999)):
        write_by_rasterio(path, pixels, mask, **options)
        assert plain_start(path.read_bytes()) is None
        with pytest.raises(ValueError, match=rf"^x_VV.tif {MISSING}$"):
            read_band(path)


def test_masks_of_overviews_hide_nothing_more(tmp_path: Path):
    path = tmp_path / "x_VV.tif"
    write_by_rasterio(path, SPECKLE, gap(0, np.full((120, 120), 255, np.uint8)))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as image:
        image.build_overviews([2, 4])
    with tifffile.TiffFile(path) as file:
        assert sorted(page.subfiletype for page in file.pages) == [0, 1, 1, 4, 5, 5]
    with pytest.raises(ValueError, match=rf"^x_VV.tif {MISSING}$"):
        read_band(path)


def test_a_mask_that_declares_gigabytes_is_refused_before_they_are_taken(tmp_path: Path):
    path = tmp_path / "x_VV.tif"
    write_by_rasterio(path, SPECKLE, np.full((120, 120), 255, np.uint8))
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for tag in (256, 257):
            struct.pack_into("<HII", content, file.pages[1].tags[tag].offset + 2, 4, 1, 2**16)
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ValueError, match="^x_VV.tif cannot be read: its mask has another shape$"):
        read_band(path)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("options", "there", "wanted"),
    [
        ({"blockysize": 10}, 3, 12),
        ({"blockysize": 10, "compress": "deflate"}, 3, 12),
        ({"tiled": True, "blockxsize": 16, "blockysize": 16}, 16, 64),
    ],
    ids=str,
)
def test_a_sparse_file_lacks_strips_or_tiles(tmp_path: Path, options: dict[str, Any], there: int, wanted: int):
    path = tmp_path / "x_VV.tif"
    profile = {"driver": "GTiff", "width": 120, "height": 120, "count": 1, "dtype": "float32", "SPARSE_OK": True}
    for rows, found in ((0, 0), (30, there)):
        with rasterio.open(path, "w", **profile, **options) as image:
            if rows:
                image.write(SPECKLE[:rows], 1, window=Window(0, 0, 120, rows))
        reason = f"x_VV.tif lacks strips or tiles: it has {found} of {wanted}"
        with pytest.raises(ValueError, match=f"^{reason}$"):
            read_band(path)
