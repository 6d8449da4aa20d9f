"""Footprints: read by GeoPandas and DuckDB, and equal to the files' own georeference."""

import json
from pathlib import Path

import duckdb
import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import rasterio.warp
import shapely
from earthprobe.archives import grid
from earthprobe.steps import index, index_patches, merge
from earthprobe.storage.geoparquet import KEY, Places, described, footprints, geographic
from earthprobe.storage.parquet import embedding_schema, with_metadata

from tests.conftest import SHARED, index_real, needs


def test_polygons_and_points_are_shapelys():
    corners = np.array([[[0.0, 0.0], [1, 0], [1, 2], [0, 2]], [[5, 5], [6, 5], [6, 6], [5, np.nan]]])
    geometry, bbox = footprints(corners)
    assert shapely.from_wkb(geometry[0].as_py()).equals(shapely.box(0, 0, 1, 2))
    assert geometry[1].as_py() is None
    assert bbox.to_pylist() == [{"xmin": 0.0, "ymin": 0.0, "xmax": 1.0, "ymax": 2.0}, None]
    (point, _), _ = footprints(np.array([[[7.0, 8.0]], [[np.nan, np.nan]]]))
    assert shapely.from_wkb(point.as_py()).equals(shapely.Point(7, 8))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index and features of the real patches."""
    root = needs(SHARED / "bigearthnet-v1-sample")
    out = tmp_path_factory.mktemp("geo")
    patches = index_real(root, out, 1)
    index.run(
        kind="bigearthnet-v1",
        patches=patches,
        labels=[root / "BigEarthNet-S1-v1.0"],
        max_rejected=0,
        output=out / "index.parquet",
    )
    ids = pq.read_table(patches)["patch_id"].to_pylist()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(2 * len(ids), dtype=np.float32)), 2)
    schema = with_metadata(embedding_schema(2), {"model": "x"})
    pq.write_table(pa.table([pa.array(ids), vectors], schema=schema), out / "0000.parquet")
    (out / "rejected.csv").write_text("patch_id,split,reason\n")
    merge.run(
        shards=[out / "0000.parquet"], patches=patches, rejected=[out / "rejected.csv"], output=out / "features.parquet"
    )
    return out


@pytest.mark.parametrize("name", ["patches", "index", "features"])
def test_geopandas_reads_footprints_with_their_crs(files: Path, name: str):
    frame = geopandas.read_parquet(files / f"{name}.parquet")
    assert frame.crs == "OGC:CRS84"
    assert len(frame) == 129
    assert frame.geometry.is_valid.all()
    assert frame.geometry.exterior.map(lambda ring: ring.is_ccw).all()
    metres = frame.to_crs(3035).area  # equal-area
    assert metres.between(0.999 * 1200**2, 1.001 * 1200**2).all()
    places = grid.centres(frame["patch_id"].tolist())
    np.testing.assert_allclose(frame.geometry.centroid.x, places[:, 0], atol=1e-4)
    here = geopandas.read_parquet(files / f"{name}.parquet", bbox=(16, 46, 18, 50))
    assert set(here["patch_id"]) == set(frame.cx[16:18, 46:50]["patch_id"])


def test_footprints_are_those_of_georeferenced_files(files: Path):
    frame = geopandas.read_parquet(files / "features.parquet").set_index("patch_id")
    seen = 0
    for path in (SHARED / "bigearthnet-v1-sample/BigEarthNet-S1-v1.0").glob("*/*_VV.tif"):
        with rasterio.open(path) as image:
            if image.crs is None or image.transform.is_identity:
                continue
            bounds = rasterio.warp.transform_bounds(image.crs, "OGC:CRS84", *image.bounds)
        np.testing.assert_allclose(frame.loc[path.parent.name].geometry.bounds, bounds, atol=2e-6)
        seen += 1
    assert seen >= 9


@pytest.mark.parametrize("name", ["index", "features"])
def test_duckdb_reads_them(files: Path, name: str):
    path = files / f"{name}.parquet"
    inside = duckdb.read_parquet(str(path)).filter("bbox.ymin > 50").order("patch_id").fetchall()
    frame = geopandas.read_parquet(path)
    assert [row[0] for row in inside] == sorted(frame[frame.bounds.miny > 50]["patch_id"])
    stored = json.loads(pq.read_schema(path).metadata[KEY])
    assert stored["version"] == "1.1.0"
    assert stored["columns"]["geometry"]["bbox"] == pytest.approx(frame.total_bounds.tolist())


def test_an_archive_without_places_has_no_footprints(tmp_path: Path):
    pq.write_table(pa.table({"patch_id": ["a"]}), tmp_path / "patches.parquet")
    table = pa.table({"patch_id": ["a"], "x": [1]})
    places = Places(tmp_path / "patches.parquet")
    assert places.add(table) is table
    assert places.schema(table.schema).equals(table.schema)


def test_places_are_found_by_id(tmp_path: Path):
    geometry, bbox = footprints(np.array([[[1.0, 2.0]], [[3.0, 4.0]], [[np.nan] * 2]]))
    table = pa.table({"patch_id": ["a", "b", "c"], "geometry": geometry, "bbox": bbox})
    pq.write_table(table.cast(geographic(table.schema, described(bbox, False))), tmp_path / "patches.parquet")
    found = Places(tmp_path / "patches.parquet").add(pa.table({"patch_id": ["c", "b"]}))
    assert found["bbox"].to_pylist() == [None, {"xmin": 3.0, "ymin": 4.0, "xmax": 3.0, "ymax": 4.0}]
    assert index_patches.SCHEMA.field("geometry").type == pa.binary()
