"""Outlines of land, against the shapes of Natural Earth."""

import shapely
from earthprobe.borders import borders
from earthprobe.outlines import outlines

EUROPE = (-11.0, 36.0, 33.0, 71.5)


def test_outlines_are_the_land_of_a_box():
    rings = outlines(*EUROPE, 0.0)
    land = shapely.union_all(shapely.polygons([shapely.linearrings(ring) for ring in rings]))
    true = shapely.union_all(shapely.intersection(borders().shapes, shapely.box(*EUROPE)))
    assert shapely.area(shapely.symmetric_difference(land, true)) < 1e-6 * shapely.area(true)


def test_a_tolerance_takes_corners_and_islands_and_leaves_the_land():
    fine, coarse = outlines(*EUROPE, 0.0), outlines(*EUROPE, 0.05)
    assert sum(map(len, coarse)) < sum(map(len, fine)) / 5
    assert all((ring[0] == ring[-1]).all() and len(ring) >= 4 for ring in coarse)
    areas = [shapely.area(shapely.polygons(ring)) for ring in coarse]
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] > 0.05**2
    land = [shapely.union_all([shapely.polygons(ring) for ring in rings]) for rings in (fine, coarse)]
    assert shapely.area(shapely.symmetric_difference(*land)) < 0.02 * shapely.area(land[0])


def test_neighbours_share_their_border():
    """Else a map would show each border twice, with gaps of sea between."""
    rings = outlines(5.0, 45.0, 20.0, 52.0, 0.1)  # inland but for the Adriatic
    parts = [shapely.polygons(ring) for ring in rings]
    inland = shapely.box(8.0, 47.0, 19.0, 51.0)
    assert shapely.area(shapely.intersection(shapely.union_all(parts), inland)) > shapely.area(inland) * (1 - 1e-9)


def test_where_no_land_is_there_are_no_outlines():
    assert outlines(-40.0, 30.0, -38.0, 32.0, 0.05) == []
