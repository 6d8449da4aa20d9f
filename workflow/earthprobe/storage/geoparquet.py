"""Footprints of patches as GeoParquet 1.1 has them, so that GeoPandas and DuckDB read our files as maps.

Geometries are well-known binary in longitude and latitude (OGC:CRS84, the default of the format), beside a column
``bbox`` by which readers find what is in a window (https://geoparquet.org/releases/v1.1.0).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BBOX = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
FIELDS = (pa.field("geometry", pa.binary()), pa.field("bbox", BBOX))
KEY = b"geo"

Doubles = npt.NDArray[np.float64]

RING = np.dtype([("order", "u1"), ("type", "<u4"), ("rings", "<u4"), ("points", "<u4"), ("place", "<f8", (5, 2))])
"""A polygon of four corners in well-known binary."""

POINT = np.dtype([("order", "u1"), ("type", "<u4"), ("place", "<f8", (2,))])


def footprints(corners: Doubles) -> list[pa.Array]:
    """The columns ``geometry`` and ``bbox`` of patches.

    Args:
        corners: longitude and latitude of four corners, counter-clockwise, or of the centre alone, shape
            (patches, 4 or 1, 2); NaN where a place is not known.
    """
    known = np.asarray(np.isfinite(corners).all(axis=(1, 2)))
    if corners.shape[1] == 1:
        binary = np.zeros(len(corners), POINT)
        binary["type"], binary["place"] = 1, corners[:, 0]
    else:
        binary = np.zeros(len(corners), RING)
        binary["type"], binary["rings"], binary["points"] = 3, 1, 5
        binary["place"] = np.concatenate([corners, corners[:, :1]], axis=1)
    binary["order"] = 1  # little-endian
    width = binary.dtype.itemsize
    content = binary.tobytes()
    geometry = [content[i * width : (i + 1) * width] if there else None for i, there in enumerate(known.tolist())]
    ends = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    values = [pa.array(ends[:, column]) for column in range(4)]
    bbox = pa.StructArray.from_arrays(values, fields=list(BBOX), mask=pa.array(~known))
    return [pa.array(geometry, pa.binary()), bbox]


def described(bbox: pa.Array, polygons: bool) -> bytes:
    """What the metadata of a file say of its geometries."""
    ends = [pc.struct_field(bbox, [place]) for place in range(4)]
    whole = [pc.min(ends[0]), pc.min(ends[1]), pc.max(ends[2]), pc.max(ends[3])]
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon" if polygons else "Point"],
        "covering": {"bbox": {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if bbox.null_count < len(bbox):
        column["bbox"] = [value.as_py() for value in whole]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return json.dumps(geo, sort_keys=True).encode()


def geographic(schema: pa.Schema, geo: bytes) -> pa.Schema:
    """A schema that says what its geometries are."""
    return schema.with_metadata({**(schema.metadata or {}), KEY: geo})


class Places:
    """The footprints of an archive's patches, for other files of these patches."""

    def __init__(self, patches: Path) -> None:
        """Reads them.

        Args:
            patches: ``patches.parquet``.
        """
        schema = pq.read_schema(patches)
        self._geo = (schema.metadata or {}).get(KEY)
        self._table = pq.read_table(patches, columns=["patch_id", "geometry", "bbox"]) if self._geo else None

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """The schema with the columns of footprints, where the archive has any."""
        if self._geo is None:
            return schema
        return geographic(pa.schema([*schema, *FIELDS], metadata=schema.metadata), self._geo)

    def add(self, table: pa.Table) -> pa.Table:
        """Adds the footprints to rows of patches."""
        if self._table is None:
            return table
        rows = pc.index_in(table["patch_id"], self._table["patch_id"].combine_chunks())
        for field in FIELDS:
            table = table.append_column(field, self._table[field.name].combine_chunks().take(rows.combine_chunks()))
        return table
