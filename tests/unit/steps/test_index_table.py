"""From a table to shards: the patches of users' own archives."""

import json
import tarfile
from pathlib import Path
from typing import Any

import geopandas
import imagecodecs
import numpy as np
import polars as pl
import pytest
import rasterio
import shapely
from earthprobe.config import resolve
from earthprobe.errors import UserError
from earthprobe.steps import index, index_members, index_table, shard, shard_statistics
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.pixels import read_shards
from rasterio.transform import from_origin
from rasterio.warp import transform

from tests.conftest import SHARED, needs

REAL = SHARED / "real-patches"
S2 = ["B02", "B05", "B09"]


def archive(table: Path, root: Path | list[Path], **more: Any) -> dict[str, Any]:
    given = {
        "name": "own",
        "kind": "table",
        "table": str(table),
        "root": [str(path) for path in root] if isinstance(root, list) else str(root),
        "shards": 1,
        **more,
    }
    bands = list(given["bands"])
    features = {"pixels": {"kind": "statistics", "bands": bands}}
    found: dict[str, Any] = resolve({"archive": given, "features": features, "probes": {"p": {"kind": "linear"}}})
    return found["archive"]


def real(root: Path | list[Path] = REAL) -> dict[str, Any]:
    paths = {"VV": "S1/{id}/{id}_VV.tif", "VH": "S1/{id}/{id}_VH.tif"}
    paths |= {band: f"S2/{{id}}/{{id}}_{band}.tif" for band in S2}
    return archive(
        needs(REAL / "patches.csv"), root, bands=paths, columns={"group": "scene"}, split={"by": "folds", "repeats": 2}
    )


def listed(config: dict[str, Any], files: list[Path], out: Path) -> Path:
    out.mkdir(exist_ok=True)
    index_table.run(
        archive=json.dumps(config), files=files, output=out / "patches.parquet", mismatches=out / "mismatches.csv"
    )
    return out / "patches.parquet"


def sharded(patches: Path, files: list[Path], sensor: str, out: Path) -> Path:
    path = out / f"{sensor}.parquet"
    shard.run(patches=patches, sensor=sensor, source=files, shard=0, output=path)
    return path


def test_real_patches_are_what_rasterio_reads(tmp_path: Path):
    patches = listed(real(), [REAL], tmp_path)
    table = pl.read_parquet(patches)
    assert (table.height, set(table["split"])) == (186, {"train"})
    assert table["folds"].list.len().unique().to_list() == [2]
    assert table["patch_id"].is_sorted()
    assert read_metadata(patches)["bands"]["B05"] == {
        "sensor": "s2", "size": 60, "dtype": "uint16", "wavelength": 0.7041, "unit": "reflectance x 10,000",
        "path": "S2/{id}/{id}_B05.tif", "number": 1,
    }  # fmt: skip
    for sensor, bands, count in (("s1", ["VV", "VH"], 186), ("s2", S2, 59)):
        rows = pl.read_parquet(sharded(patches, [REAL], sensor, tmp_path))
        for row in rows.iter_rows(named=True):
            for band in bands:
                name = row["patch_id"]
                with rasterio.open(REAL / f"{sensor.upper()}/{name}/{name}_{band}.tif") as image:
                    np.testing.assert_array_equal(row[band], image.read(1).ravel())
        rejected = read_metadata(tmp_path / f"{sensor}.parquet")["rejected"]
        assert rows.height + len(rejected) == 186
        absent = [reason for _, _, reason in rejected if reason == "has no Sentinel-2 patch in the archive"]
        assert len(absent) == 186 - count
        # A pixel of 0 is nodata by the files' own tag.
        assert all(r in absent or "they are masked, or have its nodata value" in r for _, _, r in rejected)


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
@pytest.mark.parametrize("top", ["", "real-patches/"])
def test_in_a_tar_is_as_in_a_folder(tmp_path: Path, ending: str, top: str):
    tar = tmp_path / f"some{ending}"
    with (
        tarfile.open(tar, "w:gz" if ending.endswith("gz") else "w", compresslevel=1)
        if ending.endswith("gz")
        else (tarfile.open(tar, "w")) as file
    ):
        file.add(needs(REAL), arcname=top.rstrip("/") or ".")
    members, contents = tmp_path / "members.parquet", tmp_path / "contents" if ending.endswith("gz") else None
    index_members.run(tar=[tar], folder="", contents=contents, output=members)
    in_tar = listed(real([tar]), [members], tmp_path / "tar")
    in_folder = listed(real(), [REAL], tmp_path / "folder")
    assert read_metadata(in_tar)["bands"]["VV"]["path"] == f"{top}S1/{{id}}/{{id}}_VV.tif"
    for sensor in ("s1", "s2"):
        one = sharded(in_tar, [members], sensor, tmp_path / "tar")
        other = sharded(in_folder, [REAL], sensor, tmp_path / "folder")
        assert pl.read_parquet(one).equals(pl.read_parquet(other))


class Own:
    """A small archive of one's own: one file a patch with several bands, of any kind."""

    def __init__(self, root: Path, ending: str = "tif", size: int = 16, count: int = 8, dtype: str = "uint8") -> None:
        self.root, self.pixels = root, {}
        root.mkdir()
        rng = np.random.default_rng(0)
        lines = ["id,labels,split"]
        for number in range(count):
            name = f"p{number}"
            self.pixels[name] = rng.integers(1, 200, (3, size, size)).astype(dtype)
            self.write(name, ending)
            lines.append(f"{name},{'x' if number % 2 else 'y'},{['train', 'train', 'val', 'test'][number % 4]}")
        (root / "t.csv").write_text("\n".join(lines))
        self.bands = {
            band: {"path": f"{{id}}.{ending}", "band": number, "sensor": "cam"}
            for number, band in enumerate(("red", "green", "blue"), start=1)
        }

    def write(self, name: str, ending: str = "tif") -> None:
        pixels, path = self.pixels[name], self.root / f"{name}.{ending}"
        if ending == "tif":
            _, height, width = pixels.shape
            given = {"count": 3, "height": height, "width": width, "dtype": pixels.dtype.name}
            with rasterio.open(path, "w", driver="GTiff", **given) as image:
                image.write(pixels)
        elif ending == "npy":
            np.save(path, pixels)
        else:
            path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(np.moveaxis(pixels, 0, -1))))

    def config(self, **more: Any) -> dict[str, Any]:
        units = dict.fromkeys(self.bands, "8 bits")
        return archive(self.root / "t.csv", self.root, bands=self.bands, units=units, **more)


def georeferenced(own: Own) -> dict[str, tuple[float, float]]:
    """Writes an archive's files anew, each with a place of its own in Serbia; returns their middles in degrees."""
    middles = {}
    for number, (name, pixels) in enumerate(own.pixels.items()):
        west, north = 450_000 + 5_000 * number, 4_950_000.0
        given = {"count": 3, "height": 16, "width": 16, "dtype": "uint8", "crs": "EPSG:32634"}
        with rasterio.open(
            own.root / f"{name}.tif", "w", driver="GTiff", transform=from_origin(west, north, 10, 10), **given
        ) as image:
            image.write(pixels)
        x, y = transform("EPSG:32634", "EPSG:4326", [west + 80], [north - 80])
        middles[name] = (x[0], y[0])
    return middles


def test_places_of_a_table_without_any_are_those_of_its_geotiffs(tmp_path: Path):
    own = Own(tmp_path / "own")
    middles = georeferenced(own)
    own.write("p3")  # one lies nowhere
    patches = listed(own.config(), [own.root], tmp_path)
    table = pl.read_parquet(patches)
    assert read_metadata(patches)["places_from"] == "files"
    for patch_id, *place in table.select("patch_id", "longitude", "latitude").rows():
        assert place == ([None, None] if patch_id == "p3" else pytest.approx(list(middles[patch_id]), abs=1e-9))
    assert table["country"].to_list() == ["Serbia"] * 3 + [None] + ["Serbia"] * 4
    footprints = geopandas.read_parquet(patches)
    assert footprints.geometry[0].contains(shapely.Point(*middles["p0"]))
    assert footprints.geometry[0].geom_type == "Polygon"
    sharded(patches, [own.root], "cam", tmp_path)
    assert read_metadata(tmp_path / "cam.parquet")["rejected"] == []


def test_a_country_is_held_out_that_the_place_says(tmp_path: Path):
    own = Own(tmp_path / "own")
    georeferenced(own)
    with pytest.raises(UserError, match=r"no patch has the country Finland: there are Serbia"):
        listed(own.config(split={"by": "hold_out", "test": ["Finland"]}), [own.root], tmp_path)


def test_a_file_that_lies_elsewhere_than_the_table_says_is_rejected(tmp_path: Path):
    own = Own(tmp_path / "own")
    middles = georeferenced(own)
    moved = {**middles, "p2": (20.0, 44.0)}
    lines = (own.root / "t.csv").read_text().splitlines()
    rows = [f"{line},{moved[line[:2]][0]:.4f},{moved[line[:2]][1]:.4f}" for line in lines[1:]]
    (own.root / "t.csv").write_text("\n".join([f"{lines[0]},longitude,latitude", *rows]))
    sharded(listed(own.config(), [own.root], tmp_path), [own.root], "cam", tmp_path)
    ((patch_id, _, reason),) = read_metadata(tmp_path / "cam.parquet")["rejected"]
    assert patch_id == "p2"
    assert reason.startswith("p2.tif lies at 460080, 4949920 (EPSG:32634) by its GeoTIFF tags, and the patch at ")


KINDS = [("tif", "int16"), ("png", "uint8"), ("png", "uint16"), ("npy", "float64")]


@pytest.mark.parametrize(("ending", "dtype"), KINDS)
def test_several_bands_in_one_file(tmp_path: Path, ending: str, dtype: str):
    own = Own(tmp_path / "own", ending, dtype=dtype)
    patches = listed(own.config(), [own.root], tmp_path)
    path = sharded(patches, [own.root], "cam", tmp_path)
    metadata = read_metadata(path)
    assert (metadata["sensor"], metadata["bands"]) == ("cam", ["red", "green", "blue"])
    assert metadata["units"]["green"] == "8 bits"
    ((ids, pixels),) = read_shards([path], ["blue", "red"], 100)
    assert pixels.shape == (8, 2, 16, 16)
    for name, planes in zip(ids, pixels, strict=True):
        np.testing.assert_array_equal(planes, own.pixels[name][[2, 0]])
    shard_statistics.run(
        patches=patches, shards=[path], max_rejected=0, output=tmp_path / "s.json", rejected=tmp_path / "r.csv"
    )
    found = json.loads((tmp_path / "s.json").read_text())
    train = np.stack([own.pixels[n] for n in ("p0", "p1", "p4", "p5")]).astype(float)
    assert found["train"]["red"]["mean"] == pytest.approx(train[:, 0].mean(), abs=1e-5)
    assert found["bands"]["red"] == {"size": 16, "unit": "8 bits", "wavelength": None}


def test_the_first_band_alone_of_a_file_with_several(tmp_path: Path):
    own = Own(tmp_path / "own", dtype="uint16")
    own.bands = {"red": own.bands["red"]}
    patches = listed(own.config(), [own.root], tmp_path)
    path = sharded(patches, [own.root], "cam", tmp_path)
    assert read_metadata(path)["rejected"] == []
    ((ids, pixels),) = read_shards([path], ["red"], 100)
    for name, planes in zip(ids, pixels, strict=True):
        np.testing.assert_array_equal(planes[0], own.pixels[name][0])


def test_patches_that_differ_are_named(tmp_path: Path):
    own = Own(tmp_path / "own", count=12)
    own.pixels["p2"] = own.pixels["p2"][:, :12]
    own.write("p2")
    own.pixels["p3"] = own.pixels["p3"].astype(np.uint16)
    own.write("p3")
    (own.root / "p5.tif").unlink()
    (own.root / "p6.tif").write_bytes(b"no TIFF")
    patches = listed(own.config(), [own.root], tmp_path)
    rejected = read_metadata(sharded(patches, [own.root], "cam", tmp_path))["rejected"]
    reasons = {patch_id: reason for patch_id, _, reason in rejected}
    assert set(reasons) == {"p2", "p3", "p5", "p6"}
    assert reasons["p2"] == "p2.tif has shape (12, 16), not (16, 16)"
    assert reasons["p3"] == "p3.tif holds uint16, not uint8"
    assert reasons["p5"] == "p5.tif is missing"  # there is no other sensor, so that it counts
    assert reasons["p6"].startswith("p6.tif cannot be read: ")


@pytest.mark.parametrize("fit", ["crop", "resize"])
def test_patches_of_several_sizes_are_made_to_fit_on_request(tmp_path: Path, fit: str):
    own = Own(tmp_path / "own")
    own.pixels["p0"] = np.full((3, 20, 30), 9, np.uint8)
    own.write("p0")
    patches = listed(own.config(fit=fit, size=12), [own.root], tmp_path)
    assert read_metadata(patches)["bands"]["red"]["size"] == 12
    path = sharded(patches, [own.root], "cam", tmp_path)
    assert read_metadata(path)["rejected"] == []
    ((ids, pixels),) = read_shards([path], ["red"], 100)
    assert pixels.shape == (8, 1, 12, 12)
    assert (pixels[ids.index("p0")] == 9).all()


def test_oblong_patches_are_said(tmp_path: Path):
    own = Own(tmp_path / "own")
    for name in own.pixels:
        own.pixels[name] = own.pixels[name][:, :12]
        own.write(name)
    with pytest.raises(UserError, match="own: band red has 12 x 16 pixels: set archive.fit to crop or resize$"):
        listed(own.config(), [own.root], tmp_path)


def test_an_archive_without_a_readable_file_is_said(tmp_path: Path):
    own = Own(tmp_path / "own")
    for path in own.root.glob("*.tif"):
        path.unlink()
    with pytest.raises(UserError, match="^own: of band red no file can be read: p0.tif is missing$"):
        listed(own.config(), [own.root], tmp_path)
    assert not (tmp_path / "patches.parquet").exists()


def test_a_split_that_names_no_patch_is_said(tmp_path: Path):
    own = Own(tmp_path / "own")
    text = (own.root / "t.csv").read_text().replace("test", "")
    (own.root / "t.csv").write_text(text)
    with pytest.raises(UserError, match="t.csv: no patch is in test: give a column of splits that has it, or archive"):
        listed(own.config(), [own.root], tmp_path)
    (own.root / "t.csv").write_text(text.replace("val", "test", 1).replace("train", "", 1))
    patches = listed(own.config(), [own.root], tmp_path)
    assert read_metadata(patches)["mismatches"] == {"in no split": 3}
    assert "p0,,in no split" in (tmp_path / "mismatches.csv").read_text()


def test_the_index_has_the_labels_and_folds(tmp_path: Path):
    own = Own(tmp_path / "own", count=20)
    config = own.config(split={"by": "folds", "folds": 4, "repeats": 2}, task="single")
    patches = listed(config, [own.root], tmp_path)
    out = tmp_path / "index.parquet"
    index.run(kind="table", patches=patches, labels=[], archive=json.dumps(config), max_rejected=0, output=out)
    table, said = pl.read_parquet(out), read_metadata(out)
    assert table["labels_labels"].to_list() == [[0 if int(p[1:]) % 2 else 1] for p in table["patch_id"]]
    assert (said["classes"], said["tasks"]) == ({"labels": ["x", "y"]}, {"labels": "single"})
    assert said["folds"] == {"folds": 4, "repeats": 2, "seed": 0}
    assert table["folds"].to_list() == pl.read_parquet(patches)["folds"].to_list()


def test_columns_in_paths_are_those_of_the_table(tmp_path: Path):
    """A split that is drawn anew moves no file, and neither does what is made of a date."""
    own = Own(tmp_path / "own", count=40)
    lines = ["id,labels,split,shard,date"]
    for number, name in enumerate(own.pixels):
        part, day = ("train", "validation")[number % 2], f"2017-06-1{number % 7}T10"
        folder = own.root / part / day
        folder.mkdir(parents=True, exist_ok=True)
        (own.root / f"{name}.tif").rename(folder / f"{name}.tif")
        lines.append(f"{name},{'xy'[number % 2]},{part},s{number},{day}")
    (own.root / "t.csv").write_text("\n".join(lines))
    for band in own.bands.values():
        band["path"] = "{split}/{date}/{id}.tif"
    config = own.config(split={"by": "random"}, shards=1)
    patches = listed(config, [own.root], tmp_path)
    assert set(pl.read_parquet(patches)["split"]) == {"train", "val", "test"}
    shard = pl.read_parquet(sharded(patches, [own.root], "cam", tmp_path / "s.parquet"))
    assert shard["patch_id"].to_list() == sorted(own.pixels)
    for row in shard.iter_rows(named=True):
        assert row["green"] == own.pixels[row["patch_id"]][1].ravel().tolist()


def test_the_top_folder_of_a_tar_is_found_though_the_first_patch_lacks(tmp_path: Path):
    own = Own(tmp_path / "own")
    for name in own.pixels:
        (own.root / name).mkdir()
        (own.root / f"{name}.tif").rename(own.root / name / "x.tif")
    with tarfile.open(tmp_path / "own.tar", "w") as tar:
        for name in list(own.pixels)[1:]:
            tar.add(own.root / name, f"mine/{name}")
    for band in own.bands.values():
        band["path"] = "{id}/x.tif"
    index_members.run(tar=[tmp_path / "own.tar"], folder="", contents=None, output=tmp_path / "m.parquet")
    patches = listed(own.config(), [tmp_path / "m.parquet"], tmp_path)
    assert read_metadata(patches)["bands"]["red"]["path"] == "mine/{id}/x.tif"


def test_a_second_band_that_a_file_lacks_is_not_its_first(tmp_path: Path):
    own = Own(tmp_path / "own", dtype="uint16")
    plain = {"count": 1, "height": 16, "width": 16, "dtype": "uint16"}
    with rasterio.open(own.root / "p0.tif", "w", driver="GTiff", **plain) as image:
        image.write(own.pixels["p0"][:1])
    patches = listed(own.config(shards=1), [own.root], tmp_path)
    shard = sharded(patches, [own.root], "cam", tmp_path / "s.parquet")
    assert [reason for _, _, reason in read_metadata(shard)["rejected"]] == ["p0.tif has 1 bands, no 2"]
