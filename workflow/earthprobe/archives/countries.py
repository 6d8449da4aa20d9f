"""The country that a place is in, by the borders of Natural Earth (1:10 million), which a package ships."""

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from earthprobe.borders import borders
from earthprobe.distance import EARTH, on_sphere

AT_SEA = 370_400.0
"""Metres from its coast up to which a place is a country's: 200 nautical miles, an exclusive economic zone."""


def countries(places: npt.NDArray[np.float64]) -> list[str | None]:
    """The sovereign state of each place, by its English name: Åland is Finland's.

    Where no land is, it is the country of the nearest coast or border. Borders are drawn as Germany's government sees
    them; they are a few hundred metres from where they are.

    Args:
        places: longitude and latitude in degrees (WGS 84), shape (places, 2); NaN where one is not known.

    Returns:
        None of a place that is not known, or further than :data:`AT_SEA` from any land.
    """
    import shapely

    land = _shapes()
    found = np.full(len(places), -1)
    known = np.flatnonzero(np.isfinite(places).all(axis=1))
    points = shapely.points(places[known])
    # A tree of boxes and prepared shapes: ten times as fast as the tree's own predicate, which prepares the points.
    which, shape = land.tree.query(points)
    inside = shapely.intersects(land.shapes[shape], points[which])
    found[known[which[inside]]] = shape[inside]
    sea = np.flatnonzero((found < 0) & np.isfinite(places).all(axis=1))
    if len(sea):
        distances, nearest = land.corners.query(on_sphere(places[sea]))
        near = distances <= 2 * np.sin(AT_SEA / EARTH / 2)
        found[sea[near]] = land.shape_of_corner[nearest[near]]
    return [land.names[number] if number >= 0 else None for number in found.tolist()]


class _Shapes(NamedTuple):
    """The shapes of countries, and what finds one fast.

    Attributes:
        names: the sovereign state of each shape.
        shapes: prepared polygons.
        tree: shapely's tree of their boxes.
        corners: scipy's tree of all corners of all shapes on the unit sphere.
        shape_of_corner: the shape that each corner belongs to.
    """

    names: list[str]
    shapes: npt.NDArray[np.object_]
    tree: Any
    corners: Any
    shape_of_corner: npt.NDArray[np.int64]


@functools.cache
def _shapes() -> _Shapes:
    import shapely
    from scipy.spatial import KDTree

    names, shapes, tree = borders()
    shapely.prepare(shapes)
    corners, shape_of_corner = shapely.get_coordinates(shapes, return_index=True)
    return _Shapes(names, shapes, tree, KDTree(on_sphere(corners)), shape_of_corner)
