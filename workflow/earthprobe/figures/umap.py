"""Draw the embeddings in two dimensions, one panel a class, one against the rest (figure 3 of the study)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.colors import to_rgb

from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import RED, count, new_figure, note, save, wrapped
from earthprobe.storage.files import write_csv
from earthprobe.storage.parquet import read_metadata

POINTS_UP_TO = 400
"""Patches up to which a class is drawn point by point, on top of all others; above it, by its density."""

CELLS = (48, 160)  # of the common grid, along a side: for few points, and for many
FEW = 25
"""Classes up to which panels are large."""


def run(*, coordinates: Path, index: Path, label_set: str, csv: Path, images: Sequence[Path]) -> None:
    """Writes the coordinates with the labels of each patch, and draws them.

    Args:
        coordinates: what the step ``umap`` wrote.
        index: ``index.parquet``.
        label_set: the name of the label set.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    gather(coordinates, index, label_set, csv)
    draw(csv, coordinates, index, label_set, images)


def gather(coordinates: Path, index: Path, label_set: str, output: Path) -> None:
    """Writes the coordinates with the labels of each patch.

    Args:
        coordinates: what the step ``umap`` wrote.
        index: ``index.parquet``.
        label_set: the name of the label set.
        output: CSV: ``patch_id``, ``x``, ``y``, and ``labels`` as class indices joined by spaces.
    """
    labels = pl.read_parquet(index, columns=["patch_id", f"labels_{label_set}"])
    joined = pl.col(f"labels_{label_set}").cast(pl.List(pl.String)).list.join(" ").alias("labels")
    table = pl.read_parquet(coordinates).join(labels, on="patch_id", how="left", maintain_order="left")
    write_csv(output, ("patch_id", "x", "y", "labels"), table.select("patch_id", "x", "y", joined).rows())


def draw(csv: Path, coordinates: Path, index: Path, label_set: str, outputs: Sequence[Path]) -> None:
    """Draws a panel a class on a common grid: all patches in grey, those of the class in colour.

    Both are drawn by density, so that any number of points stays readable and takes the same time; a class
    with few patches is drawn point by point.

    Args:
        csv: what :func:`gather` wrote.
        coordinates: what the step ``umap`` wrote, for what its metadata say.
        index: ``index.parquet``, for the names of the classes.
        label_set: the name of the label set.
        outputs: image files.
    """
    table = read_numbers(csv, {"labels": pl.String})
    source = read_metadata(coordinates)
    names = read_metadata(index)["classes"][label_set]
    points = table.select("x", "y").to_numpy()
    has = memberships(table["labels"], len(names))
    cells = int(np.clip(2 * np.sqrt(len(points)), *CELLS))
    edges = [np.linspace(*bounds(points[:, axis]), cells + 1) for axis in (0, 1)]
    extent = (edges[0][0], edges[0][-1], edges[1][0], edges[1][-1])
    background = density_image(points, edges, (0.72, 0.72, 0.72), strongest=0.9)
    colour = to_rgb(RED)

    across = 5 if len(names) <= FEW else 7  # panels a row
    width, font = (24, 7.0) if across < 7 else (17, 5.8)
    rows = math.ceil(len(names) / across)
    figure = new_figure(0.3 + rows * (7.2 / across + 0.22))
    panels = figure.subplots(rows, across, squeeze=False).ravel()
    for axes, name, members in zip(panels, names, has.T, strict=False):
        here = points[members]
        axes.imshow(background, extent=extent, origin="lower", aspect="auto", interpolation="nearest")
        if len(here) > POINTS_UP_TO:
            image = density_image(here, edges, colour, strongest=1.0)
            axes.imshow(image, extent=extent, origin="lower", aspect="auto", interpolation="nearest")
        else:
            axes.scatter(here[:, 0], here[:, 1], s=5, color=RED, linewidths=0, rasterized=True, zorder=3)
        axes.set_title(f"{wrapped(name, width)}\n{len(here):,}", fontsize=font, pad=2)
        axes.set_xlim(extent[:2])
        axes.set_ylim(extent[2:])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color("#CCCCCC")
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    absent = int((~has.any(axis=0)).sum())
    shown = f"{len(points):,} of {source['patches']:,} patches"
    lacking = f"{count(absent, 'class is', 'classes are')} in none of them" if absent else ""
    note(figure, f"UMAP of {shown}; red: patches with the class", source["data"], source["weights"], lacking)
    save(figure, outputs)


def memberships(labels: pl.Series, classes: int) -> npt.NDArray[np.bool_]:
    """Which patch has which class, shape (patches, classes), from indices joined by spaces."""
    rows = pl.DataFrame({"row": pl.int_range(len(labels), eager=True), "label": labels.fill_null("").str.split(" ")})
    pairs = rows.explode("label").filter(pl.col("label") != "")
    matrix = np.zeros((len(labels), classes), dtype=bool)
    matrix[pairs["row"].to_numpy(), pairs["label"].cast(pl.Int64).to_numpy()] = True
    return matrix


def bounds(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Limits that hold nearly all points: a few strays would shrink the rest to a blot."""
    low, high = np.quantile(values, [0.0005, 0.9995])
    margin = 0.04 * max(high - low, 1e-6)
    return float(low - margin), float(high + margin)


def density_image(
    points: npt.NDArray[np.float64],
    edges: Sequence[npt.NDArray[np.float64]],
    colour: tuple[float, float, float],
    strongest: float,
) -> npt.NDArray[np.float64]:
    """An RGBA image whose opacity is the logarithm of the number of points in a cell."""
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=edges)
    strength = np.log1p(counts.T)
    image = np.zeros((*strength.shape, 4))
    image[..., :3] = colour
    top = strength.max()
    # A cell with a single point is still to be seen.
    image[..., 3] = np.where(strength > 0, 0.25 + (strongest - 0.25) * strength / max(top, 1e-9), 0)
    return image
