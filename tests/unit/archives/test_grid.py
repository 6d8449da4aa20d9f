"""Places by name against the coordinates in real JSON files and TIFFs."""

import datetime
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import rasterio
from earthprobe.archives.grid import centres, corners, date_of, footprints, named
from rasterio.warp import transform

from tests.conftest import SHARED, needs


def test_corners_are_those_of_the_json_files(v1_sample: Path):
    found = 0
    for path in sorted(v1_sample.glob("BigEarthNet-S1-v1.0/*/*_labels_metadata.json")):
        coordinates = json.loads(path.read_text()).get("coordinates")
        if coordinates:
            np.testing.assert_array_equal(corners([path.parent.name]), [[coordinates["ulx"], coordinates["uly"]]])
            found += 1
    assert found == 9


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_places_are_those_of_the_tiffs():
    names, corner, centre = [], [], []
    for path in sorted(needs(SHARED / "real-patches").glob("S1/*/*_VV.tif")):
        with rasterio.open(path) as image:
            if image.crs is None:
                continue
            middle = image.transform * (image.width / 2, image.height / 2)
            names.append(path.parent.name)
            corner.append((image.transform.c, image.transform.f))
            centre.append([v[0] for v in transform(image.crs, "EPSG:4326", [middle[0]], [middle[1]])])
    assert len(names) == 58
    np.testing.assert_allclose(corners(names), corner, atol=0.1)
    np.testing.assert_allclose(centres(names), centre, atol=1e-6)


def test_names_without_a_place_or_a_date_have_none():
    assert np.isnan(centres(["patch_1", "S1A_IW_GRDH_1SDV_20170613T165043_33UZZ_61_39"])).all()
    assert date_of("S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39") == datetime.date(2017, 6, 13)
    assert date_of("S1A_20171399T165043_33UUP") is None
    assert date_of("patch_1") is None
    for name in ("scene_82MHX_3_4", "x_31OAK_3_4", "x_00UUP_3_4", "x_61UUP_3_4", "x_33IUP_3_4"):  # no such zone or band
        assert np.isnan(centres([name])).all()
        assert np.isnan(footprints([name])).all()
        assert named([name])["tile"].to_list() == [None]


def test_what_names_say():
    names = named(
        [
            "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39",
            "S1B_IW_GRDH_1SDV_20180524T053120_29SND_7_85",
            "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57",
            "S1A_IW_GRDH_1SDV_20171399T165043_33UUP_1_2",
            "patch_1",
        ]
    )
    assert names["tile"].to_list() == ["33UUP", "29SND", "33UUP", "33UUP", None]
    assert names.select("column", "row").rows() == [(61, 39), (7, 85), (26, 57), (1, 2), (None, None)]
    assert names["satellite"].to_list() == ["S1A", "S1B", "S2A", "S1A", None]
    assert names["orbit"].to_list() == ["ascending", "descending", None, None, None]
    assert names["time"][0] == datetime.datetime(2017, 6, 13, 16, 50, 43)
    assert names["time"].null_count() == 2


def test_every_official_patch_has_a_direction_of_its_orbit(v1_sample: Path):
    table = pl.read_parquet(needs(SHARED / "reben-metadata" / "metadata.parquet"))
    names = named(table["s1_name"])
    assert names.null_count().row(0) == (0, 0, 0, 0, 0, 0)
    mixed = names.filter(pl.col("time").dt.hour() == 17)
    assert mixed.height < 600
