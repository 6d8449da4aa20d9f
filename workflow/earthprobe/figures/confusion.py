"""Draw one 2x2 confusion matrix a class (figure 5 of the reference study)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from earthprobe.figures.style import count, new_figure, note, save, wrapped
from earthprobe.storage.files import write_csv

COLUMNS = ("class", "name", "support", "tn", "fp", "fn", "tp", "data", "weights")
PANELS_A_ROW = 5


def run(*, probe: str, per_class: Path, csv: Path, images: Sequence[Path]) -> None:
    """Writes the counts of each class, and draws them.

    Args:
        probe: the probe's name.
        per_class: its ``per_class.csv``.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    gather(per_class, csv)
    draw(csv, probe, images)


def gather(per_class: Path, output: Path) -> None:
    """Writes the counts of each class.

    Args:
        per_class: a probe's ``per_class.csv``.
        output: the CSV.
    """
    write_csv(output, COLUMNS, pl.read_csv(per_class).select(COLUMNS).rows())


def draw(csv: Path, probe: str, outputs: Sequence[Path]) -> None:
    """Draws a panel a class: counts, and as colour the share of the row (of what is there, or is not).

    Args:
        csv: what :func:`gather` wrote.
        probe: the probe's name, for the note.
        outputs: image files.
    """
    table = pl.read_csv(csv)
    rows = math.ceil(len(table) / PANELS_A_ROW)
    figure = new_figure(0.4 + 1.42 * rows)
    panels = figure.subplots(rows, PANELS_A_ROW, squeeze=False).ravel()
    for axes, row in zip(panels, table.iter_rows(named=True), strict=False):
        counts = np.array([[row["tn"], row["fp"]], [row["fn"], row["tp"]]])
        totals = counts.sum(axis=1, keepdims=True)
        shares = counts / np.maximum(totals, 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
        for (i, j), cell in np.ndenumerate(counts):
            share = f"{100 * shares[i, j]:.0f} %" if totals[i, 0] else "–"
            colour = "white" if shares[i, j] > 0.6 else "black"
            axes.text(j, i, f"{cell:,}\n{share}", ha="center", va="center", fontsize=7, color=colour)
        axes.set_title(wrapped(row["name"], 26), fontsize=7, pad=3)
        axes.set_xticks([0, 1], ["no", "yes"], fontsize=6.5)
        axes.set_yticks([0, 1], ["no", "yes"], fontsize=6.5)
        axes.tick_params(length=0, pad=1)
        axes.spines[:].set_visible(False)
    for axes in panels[len(table) :]:
        axes.set_axis_off()
    figure.supylabel("class is there", fontsize=8)
    none = sum(1 for support in table["support"] if not support)
    lacking = f"{count(none, 'class has', 'classes have')} no positive" if none else ""
    note(figure, f"across: {probe} predicts it, test split", table["data"][0], table["weights"][0], lacking)
    save(figure, outputs)
