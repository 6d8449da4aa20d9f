"""Draw a map of the test patches, each in the colour of its tile's score."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.collections import PolyCollection
from pyproj import Transformer

from earthprobe.evaluation.clusters import FEWEST
from earthprobe.evaluation.metrics import OF_FEW, heading_of
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import WIDTH, new_figure, note, save
from earthprobe.outlines import outlines
from earthprobe.storage.files import write_csv

Doubles = npt.NDArray[np.float64]

COLUMNS = ("tile", "longitude", "latitude", "patches", "row", "metric", "score", "low", "high", "data", "weights")
UNKNOWN = "The archive does not say where its patches are."

WIDE = 90.0
"""Degrees of longitude up to which a plane is laid at the middle of the map."""

LEAST = 150_000.0
"""Metres that a map shows around the middle, however few its patches are."""

EDGE = 0.04
"""The margin around the patches, as a share of the map."""

FINE = 1500
"""How much shorter than the map the smallest bend of a coast is."""


def run(*, tiles: Path, index: Path, csv: Path, images: Sequence[Path]) -> None:
    """Writes the score of each tile by the best probe of the first feature set, and draws it.

    Args:
        tiles: the scores of rows by tile.
        index: ``index.parquet``, for the places of patches.
        csv: the numbers of the figure, a line a tile.
        images: files ending in .png, .pdf or .svg.
    """
    # Types are said, since a table without a row has none.
    table = read_numbers(tiles, {"best": pl.Int64}).filter(pl.col("best") == 1)
    first = table.row(0, named=True) if table.height else {"features": "", "probe": ""}
    here = table.filter((pl.col("features") == first["features"]) & (pl.col("probe") == first["probe"]))
    metric = next(names[0] for names in OF_FEW.values() if names[0] in table.columns)
    row = f"{first['features']}/{first['probe']}"
    lines = [
        (
            *(line[name] for name in COLUMNS[:4]),
            row,
            metric,
            *(line[f"{metric}{end}"] for end in ("", "_low", "_high")),
            line["data"],
            line["weights"],
        )
        for line in here.iter_rows(named=True)
    ]
    write_csv(csv, COLUMNS, lines)
    draw(csv, index, images)


def draw(csv: Path, index: Path, outputs: Sequence[Path]) -> None:
    """Draws patches as dots on coasts and borders; those of tiles with fewer than 20 test patches are grey.

    Args:
        csv: what :func:`run` wrote.
        index: ``index.parquet``.
        outputs: image files.
    """
    table = read_numbers(csv, {"score": pl.Float64})
    patches = _patches(index).join(table.select("tile", "patches", "score"), on="tile")
    if patches.is_empty():
        figure = new_figure(2)
        figure.text(0.5, 0.5, UNKNOWN, ha="center")
        save(figure, outputs)
        return
    places = patches.select("longitude", "latitude").to_numpy()
    plane = _plane(places)
    x, y = plane.transform(places[:, 0], places[:, 1])
    middle = np.array([x.min() + x.max(), y.min() + y.max()]) / 2
    half = np.maximum(np.array([np.ptp(x), np.ptp(y)]) * (0.5 + EDGE), LEAST)
    figure = new_figure(min(max((WIDTH - 1.2) * half[1] / half[0], 2.5), 8.5) + 0.4)
    axes = figure.subplots()
    axes.set_facecolor("#EEF3F7")
    axes.add_collection(
        PolyCollection(_land(plane, places, middle, half), facecolor="#FBFBF8", edgecolor="#8A8A8A", linewidth=0.4)
    )
    few = patches["patches"].to_numpy() < FEWEST
    size = float(np.clip(9e4 / max(len(x), 1), 0.4, 16))
    axes.scatter(x[few], y[few], s=size, color="#A0A0A0", linewidths=0, rasterized=True)
    score = 100 * patches["score"].to_numpy()
    dots = axes.scatter(x[~few], y[~few], s=size, c=score[~few], cmap="viridis", linewidths=0, rasterized=True)
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    first = table.row(0, named=True)
    if not few.all():
        figure.colorbar(dots, ax=axes, shrink=0.7, label=f"{heading_of(first['metric'])} of a tile, %", aspect=30)
    axes.set_title(f"{first['row']}: {len(x):,} test patches")
    few_text = f"no tile has {FEWEST} test patches, so that none is scored" if few.all() else ""
    if few.any() and not few.all():
        few_text = f"grey: tiles with fewer than {FEWEST} test patches"
    note(figure, first["data"], first["weights"], few_text, "coasts and borders: Natural Earth")
    save(figure, outputs)


def _patches(index: Path) -> pl.DataFrame:
    """The tile (or group, where there is none) and place of each test patch; of folds all are tested."""
    known = pl.read_parquet_schema(index)
    rows = pl.read_parquet(index, columns=["split", "group", "tile", "longitude", "latitude"])
    if "folds" not in known:
        rows = rows.filter(pl.col("split") == "test")
    key = "group" if rows["tile"].null_count() == rows.height else "tile"
    return rows.select(pl.col(key).cast(pl.String).alias("tile"), "longitude", "latitude").drop_nulls()


def _plane(places: Doubles) -> Transformer:
    """Onto a plane that keeps areas: Lambert's at the middle or, of half the world, Equal Earth."""
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    wide = np.ptp(places[:, 0]) > WIDE
    plane = f"+proj=eqearth +lon_0={middle[0]}" if wide else f"+proj=laea +lat_0={middle[1]} +lon_0={middle[0]}"
    return Transformer.from_crs("EPSG:4326", plane, always_xy=True)


def _land(plane: Transformer, places: Doubles, middle: Doubles, half: Doubles) -> list[Any]:
    """The land of the map and a little around it, on the plane."""
    sides = np.linspace(-1.1, 1.1, 23)
    around = [
        middle + half * corner for side in sides for corner in ((side, -1.1), (side, 1.1), (-1.1, side), (1.1, side))
    ]
    x, y = np.array(around).T
    longitude, latitude = plane.transform(x, y, direction="INVERSE")
    whole = not (np.isfinite(longitude).all() and np.isfinite(latitude).all())
    west, east = (-180.0, 180.0) if whole or np.ptp(places[:, 0]) > WIDE else (longitude.min(), longitude.max())
    south, north = (-90.0, 90.0) if whole else (latitude.min(), latitude.max())
    tolerance = 2 * half.max() / 111_000 / FINE
    rings = outlines(west, south, east, north, tolerance)
    return [np.column_stack(plane.transform(ring[:, 0], ring[:, 1])) for ring in rings]
