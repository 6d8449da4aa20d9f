"""How far patches lie from each other, whatever tile or zone they are in."""

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

EARTH = 6_371_000.0
"""The Earth's mean radius in metres."""

CELL = 1200.0
"""Metres along a side of a patch of BigEarthNet, in which distances are given."""


def on_sphere(places: Doubles) -> Doubles:
    """Places as vectors of length 1, so that any two can be compared.

    Args:
        places: longitude and latitude in degrees (WGS 84), shape (places, 2).

    Returns:
        Shape (places, 3); NaN where a place is.
    """
    longitude, latitude = np.radians(places).T
    flat = np.cos(latitude)
    return np.column_stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)])


def in_cells(places: Doubles) -> Doubles:
    """The same in cells from the Earth's centre."""
    return on_sphere(places) * EARTH / CELL


def nearest(places: Doubles, queries: Doubles, k: int = 1) -> tuple[Doubles, Numbers]:
    """The nearest of some places to others, by straight lines.

    Args:
        places: shape (places, dimensions).
        queries: shape (queries, dimensions).
        k: how many.

    Returns:
        Distances, and rows of ``places``, both of shape (queries, k), nearest first; k is at most all places.
    """
    from scipy.spatial import KDTree

    k = min(k, len(places))
    distances, rows = KDTree(places).query(queries, k=k)
    return np.reshape(distances, (-1, k)), np.reshape(rows, (-1, k))


def to_nearest(places: Doubles, queries: Doubles) -> Doubles:
    """Cells from each query to the nearest of some places, both given in degrees; NaN where it is not known.

    Args:
        places: longitude and latitude, shape (places, 2); those that are not known are none.
        queries: longitude and latitude, shape (queries, 2).
    """
    known, asked = (np.isfinite(part).all(axis=1) for part in (places, queries))
    found = np.full(len(queries), np.nan)
    if known.any() and asked.any():
        found[asked] = nearest(in_cells(places[known]), in_cells(queries[asked]))[0][:, 0]
    return found
