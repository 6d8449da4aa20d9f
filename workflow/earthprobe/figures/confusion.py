"""Draw one 2x2 confusion matrix a class (figure 5 of the reference study), or one over all classes."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from earthprobe.describe import describe_data, describe_weights
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import count, new_figure, note, save, short, wrapped
from earthprobe.storage.files import write_csv
from earthprobe.storage.parquet import read_metadata

COLUMNS = ("class", "name", "support", "tn", "fp", "fn", "tp", "data", "weights")
PANELS_A_ROW = 5


def run(*, probe: str, per_class: Path, scores: Path, csv: Path, images: Sequence[Path]) -> None:
    """Writes the counts of each class, and draws them.

    Args:
        probe: the probe's name.
        per_class: its ``per_class.csv``.
        scores: its ``scores.parquet``.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    if read_metadata(scores)["task"] == "single":
        gather_square(scores, csv)
        draw_square(csv, probe, images)
    else:
        gather(per_class, csv)
        draw(csv, probe, images)


def gather_square(scores: Path, output: Path) -> None:
    """Writes how many patches of each class are taken for which.

    Args:
        scores: a probe's ``scores.parquet``; of folds all repeats count.
        output: CSV, a row a pair of classes.
    """
    source = read_metadata(scores)
    table = pl.read_parquet(scores).filter(pl.col("split") == "test")
    true, best = (table[name].to_numpy().argmax(axis=1) for name in ("targets", "scores"))
    classes = source["classes"]
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (true, best), 1)
    origin = (describe_data(source["features"]), describe_weights(source["features"]))
    rows = [(classes[i], classes[j], int(n), *origin) for (i, j), n in np.ndenumerate(counts)]
    write_csv(output, ("class", "predicted", "patches", "data", "weights"), rows)


def draw_square(csv: Path, probe: str, outputs: Sequence[Path]) -> None:
    """Draws the matrix: counts, and as colour the share of the class.

    Args:
        csv: what :func:`gather_square` wrote.
        probe: the probe's name, for the note.
        outputs: image files.
    """
    table = read_numbers(csv, {"class": pl.String, "predicted": pl.String})
    classes = table["class"].unique(maintain_order=True).to_list()
    counts = table["patches"].to_numpy().reshape(len(classes), -1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(1.6 + 0.3 * len(classes))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for (i, j), cell in np.ndenumerate(counts):
        if cell:
            colour = "white" if shares[i, j] > 0.6 else "black"
            axes.text(j, i, f"{cell:,}", ha="center", va="center", fontsize=6.5, color=colour)
    names = [short(name, 24) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", fontsize=6.5)
    axes.set_yticks(range(len(classes)), names, fontsize=6.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("class of the patch")
    axes.set_xlabel(f"{probe} takes it for")
    note(figure, "test split, patches; colour: share of the class", table["data"][0], table["weights"][0])
    save(figure, outputs)


def gather(per_class: Path, output: Path) -> None:
    """Writes the counts of each class.

    Args:
        per_class: a probe's ``per_class.csv``.
        output: the CSV.
    """
    write_csv(output, COLUMNS, read_numbers(per_class).select(COLUMNS).rows())


def draw(csv: Path, probe: str, outputs: Sequence[Path]) -> None:
    """Draws a panel a class: counts, and as colour the share of the row (of what is there, or is not).

    Args:
        csv: what :func:`gather` wrote.
        probe: the probe's name, for the note.
        outputs: image files.
    """
    table = read_numbers(csv)
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
