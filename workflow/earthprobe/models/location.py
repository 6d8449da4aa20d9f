"""What place and season alone tell."""

import numpy as np
import polars as pl

from earthprobe.models.vectors import Vectors

YEAR = 365.25
"""Days."""


def vectors(patches: pl.DataFrame) -> Vectors:
    """Longitude and latitude in degrees, and the day of the year as sine and cosine.

    Args:
        patches: ``patches.parquet``.

    Returns:
        A vector of four figures for each patch whose date and place are known.
    """
    known = patches.drop_nulls(["date", "longitude", "latitude"])
    angle = 2 * np.pi * known["date"].dt.ordinal_day().to_numpy() / YEAR
    figures = [known["longitude"].to_numpy(), known["latitude"].to_numpy(), np.sin(angle), np.cos(angle)]
    missing = patches["patch_id"].filter(~patches["patch_id"].is_in(known["patch_id"].implode())).to_list()
    return Vectors(known["patch_id"].to_list(), np.stack(figures, axis=1).astype(np.float32), {}, missing)
