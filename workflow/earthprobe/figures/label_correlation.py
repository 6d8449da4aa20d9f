"""Draw which classes occur together in the train split (figure 2 of the reference study)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import count, new_figure, note, save, short

VALUES_UP_TO = 25
"""Classes up to which the cells have room for their values."""


def run(*, csv: Path, order: Literal["listed", "clustered"] = "listed", images: Sequence[Path]) -> None:
    """Draws the matrix of correlations.

    Args:
        csv: what the step ``explore`` wrote.
        order: of the classes; clustered puts those side by side that occur together.
        images: files ending in .png, .pdf or .svg.
    """
    table = read_numbers(csv)
    names = table.filter(pl.col("class") == 0)["other_name"].to_list()
    size = len(names)
    matrix = table["correlation"].cast(pl.Float64).to_numpy().reshape(size, size)
    rows = clustered(matrix) if order == "clustered" else list(range(size))
    matrix, names = matrix[np.ix_(rows, rows)], [names[row] for row in rows]
    # The diagonal is 1 by definition: the scale is that of the other cells.
    off = np.abs(matrix[~np.eye(size, dtype=bool)])
    limit = max(float(np.nanmax(off)) if np.isfinite(off).any() else 1.0, 0.1)

    figure = new_figure(6.7)
    axes = figure.subplots()
    shown = np.where(np.eye(size, dtype=bool), np.nan, matrix)
    axes.set_facecolor("#E6E6E6")
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.spines[:].set_visible(False)
    font = 7 if size <= VALUES_UP_TO else 5.2
    axes.set_xticks(range(size), [short(n, 42) for n in names], rotation=90, fontsize=font)
    axes.set_yticks(range(size), [short(n, 42) for n in names], fontsize=font)
    axes.tick_params(length=0)
    if size <= VALUES_UP_TO:
        for (row, column), value in np.ndenumerate(shown):
            if np.isfinite(value) and abs(value) >= 0.005:
                colour = "white" if abs(value) > 0.6 * limit else "black"
                text = f"{value:.2f}".replace("0.", ".")
                axes.text(column, row, text, ha="center", va="center", fontsize=5.2, color=colour)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.01)
    bar.set_label("Pearson correlation")
    bar.outline.set_visible(False)
    absent = int(np.isnan(np.diag(matrix)).sum())
    grey = f"grey: {count(absent, 'class', 'classes')} that the train split lacks" if absent else ""
    note(figure, table["data"][0], grey)
    save(figure, images)


def clustered(matrix: npt.NDArray[np.float64]) -> list[int]:
    """An order in which alike rows are neighbours (average linkage); classes without a correlation come last."""
    known = np.flatnonzero(~np.isnan(np.diag(matrix)))
    unknown = np.flatnonzero(np.isnan(np.diag(matrix)))
    if len(known) < 3:
        return [*known.tolist(), *unknown.tolist()]
    distance = 1 - matrix[np.ix_(known, known)]
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), "average", optimal_ordering=True)
    return [*known[leaves_list(tree)].tolist(), *unknown.tolist()]
