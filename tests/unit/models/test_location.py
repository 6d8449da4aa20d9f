import datetime

import numpy as np
import polars as pl
from earthprobe.models import location


def test_place_and_season_alone():
    day = datetime.date
    patches = pl.DataFrame(
        {
            "patch_id": ["a", "b", "c"],
            "date": [day(2017, 6, 13), day(2018, 12, 31), None],
            "longitude": [8.6, -8.3, 1.0],
            "latitude": [47.5, 37.5, 2.0],
        }
    )
    taken = location.vectors(patches)
    assert (taken.ids, taken.missing) == (["a", "b"], ["c"])
    angle = 2 * np.pi * np.array([164, 365]) / 365.25
    want = np.column_stack([[8.6, -8.3], [47.5, 37.5], np.sin(angle), np.cos(angle)])
    np.testing.assert_allclose(taken.matrix, want, rtol=1e-6)
