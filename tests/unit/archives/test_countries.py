"""Countries of places, against reBEN's own table."""

import numpy as np
import polars as pl
from earthprobe.archives.countries import countries
from earthprobe.archives.grid import centres

from tests.conftest import SHARED, needs


def test_countries_of_known_places():
    places = [(13.4, 52.5), (20.9, 42.6), (19.9, 60.1), (-9.14, 38.72), (25.28, 54.69), (20.45, 44.82), (8.54, 47.37)]
    wanted = ["Germany", "Kosovo", "Finland", "Portugal", "Lithuania", "Serbia", "Switzerland"]
    assert countries(np.array(places)) == wanted


def test_a_place_at_sea_is_its_nearest_coasts_and_the_open_ocean_nobodys():
    places = np.array([[20.5, 62.5], [-10.5, 39.0], [-35.0, 30.0], [np.nan, 50.0]])
    assert countries(places) == ["Finland", "Portugal", None, None]


def test_reben_says_the_same_but_for_scenes_over_a_border():
    # Every 40th of 480,038; reBEN has one country a scene, so that some patches lie on the other side.
    table = pl.read_parquet(needs(SHARED / "reben-metadata" / "metadata.parquet")).gather_every(40)
    found = pl.Series(countries(centres(table["patch_id"].to_list())))
    agreed = (found == table["country"]).fill_null(False)
    assert agreed.mean() > 0.98
    assert found.null_count() == 0
