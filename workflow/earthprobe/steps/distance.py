"""Measure how far the nearest train patch of each test patch is."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.distance import CELL, to_nearest
from earthprobe.probes.fits import fits_of
from earthprobe.storage.files import replacing
from earthprobe.storage.parquet import check_ids, read_metadata, with_metadata

log = logging.getLogger(__name__)

SCHEMA = pa.schema([("patch_id", pa.string()), ("repeat", pa.uint8()), ("km", pa.float32())])
NEEDED = ("patch_id", "split", "folds", "cells_to_test", "longitude", "latitude")


def run(*, index: Path, buffer: float = 0, output: Path) -> None:
    """Writes how far each test patch is from the nearest train patch, from centre to centre.

    Args:
        index: ``index.parquet``, for places, and splits or folds.
        buffer: train patches this near to a test patch, in cells of 1.2 km, are left out.
        output: columns ``patch_id``, ``repeat`` and ``km``, which is null where a place is not known; of folds each
            patch once a repeat, by the patches that a probe is fitted on.
    """
    with replacing(output) as part:
        rows = pl.read_parquet(index, columns=[name for name in pl.read_parquet_schema(index) if name in NEEDED])
        places = rows.select(pl.col("longitude", "latitude").cast(pl.Float64).fill_null(float("nan"))).to_numpy()
        ids, repeats, km = [], [], []
        for fit in fits_of(rows, read_metadata(index).get("folds"), buffer):
            ids += rows["patch_id"][fit.test].to_list()
            repeats.append(np.full(len(fit.test), fit.repeat, np.uint8))
            km.append(to_nearest(places[fit.train], places[fit.test]) * CELL / 1000)
        found = np.concatenate(km)
        columns = [pa.array(ids), pa.array(np.concatenate(repeats)), pa.array(found, from_pandas=True)]
        schema = with_metadata(SCHEMA, {"buffer": buffer})
        pq.write_table(pa.table(columns, SCHEMA.names).cast(schema), part, compression="zstd")
        check_ids(part, ids)
        if np.isfinite(found).any():
            log.info("km to train: median %.1f, most %.1f", np.nanmedian(found), np.nanmax(found))
        else:
            log.warning("the archive does not say where its patches are")
