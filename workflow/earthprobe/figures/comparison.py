"""Draw the differences between rows of a table, with their intervals (a forest plot)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from earthprobe.evaluation.metrics import BEST, heading_of
from earthprobe.figures.style import BLUE, GREY, new_figure, note, save

COLUMNS = ("row", "other", "metric", "difference", "low", "high", "p_holm", "told_apart")


def run(*, table: Path, csv: Path, images: Sequence[Path]) -> None:
    """Writes the differences in the metric that feature sets are compared by, and draws them.

    Args:
        table: the comparison's CSV.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    rows = pl.read_csv(table)
    metrics = rows["metric"].unique()
    best = next((name for name in BEST.values() if name in metrics), None)
    rows.filter(pl.col("metric") == best).select(COLUMNS).write_csv(csv)
    draw(csv, images)


def draw(csv: Path, outputs: Sequence[Path]) -> None:
    """Draws a line a pair; filled where the two are told apart.

    Args:
        csv: what :func:`run` wrote.
        outputs: image files.
    """
    table = pl.read_csv(csv, schema_overrides=dict.fromkeys(("difference", "low", "high"), pl.Float64))
    firsts = table["row"].unique(maintain_order=True).to_list()
    labels = [
        f"{row} – {other}" if len(firsts) > 1 else other for row, other in table.select("row", "other").iter_rows()
    ]
    places = np.arange(len(labels))
    figure = new_figure(1.1 + 0.19 * len(labels))
    axes = figure.subplots()
    value, low, high = (100 * table[name].to_numpy() for name in ("difference", "low", "high"))
    apart = table["told_apart"].to_numpy().astype(bool)
    axes.axvline(0, color="#888888", linewidth=0.8, zorder=1)
    for mask, colour, face, text in (
        (apart, BLUE, BLUE, "told apart (5 %, Holm)"),
        (~apart, GREY, "white", "not told apart"),
    ):
        if mask.any():
            axes.hlines(places[mask], low[mask], high[mask], color=colour, linewidth=1.6, zorder=2)
            axes.scatter(
                value[mask], places[mask], s=22, edgecolor=colour, facecolor=face, linewidths=1.2, zorder=3, label=text
            )
    axes.set_yticks(places, labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    first = f"{firsts[0]} less" if len(firsts) == 1 else "the first less"
    if len(table):
        axes.set_xlabel(f"{heading_of(table['metric'][0])}: {first} the other, in points, with 95 % intervals")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.3)
    note(figure, "both rows on the same draws of patches that are not independent")
    save(figure, outputs)
