"""Coasts and borders in few lines, to draw a map on."""

import numpy as np
import numpy.typing as npt

from earthprobe.borders import borders

Ring = npt.NDArray[np.float64]


def outlines(west: float, south: float, east: float, north: float, tolerance: float) -> list[Ring]:
    """The land of a box as closed rings, those of each country's pieces; two neighbours share the corners of a border.

    Pieces are cut at the box and closed along it: one a little larger than a picture keeps these lines out of it.
    Enclaves lie upon the ring of the country around them, which has no hole.

    Args:
        west: the least longitude in degrees (WGS 84); a box does not reach across the antimeridian.
        south: the least latitude.
        east: the greatest longitude.
        north: the greatest latitude.
        tolerance: degrees; the square root of the largest triangle that is cut off (Visvalingam and Whyatt 1993), and
            of the largest island that is left out. 0: every corner that there is.

    Returns:
        Longitude and latitude of each ring's corners, shape (corners, 2), of which the last is the first again; the
        largest rings first, so that enclaves are drawn last. Empty where there is no land.
    """
    import shapely

    pieces = shapely.clip_by_rect(borders().shapes, west, south, east, north)
    pieces = pieces[~shapely.is_empty(pieces)]
    if tolerance > 0 and len(pieces):
        pieces = shapely.coverage_simplify(pieces, tolerance)
    rings = shapely.polygons(shapely.get_exterior_ring(_polygons(pieces)))
    area = shapely.area(rings)
    order = np.argsort(-area, kind="stable")
    kept = rings[order][area[order] > tolerance**2]
    return [shapely.get_coordinates(ring) for ring in kept]


def _polygons(pieces: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """The polygons of multipolygons and collections; what a box cuts to a line or a point is none."""
    import shapely

    parts: npt.NDArray[np.object_] = shapely.get_parts(shapely.get_parts(pieces))
    is_polygon: npt.NDArray[np.bool_] = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    return parts[is_polygon]
