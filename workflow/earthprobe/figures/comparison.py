"""Draw the differences between rows of a table, with their intervals (a forest plot)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from earthprobe.evaluation.metrics import BEST, heading_of
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import BLUE, key, new_figure, note, rule, save, span

COLUMNS = ("row", "other", "metric", "difference", "low", "high", "p_holm", "told_apart")
MOST = 45
"""Pairs that fit a page; those of the best row come first."""
SPAN = 10.0
"""The least that the axis shows, in points."""
OPEN = "#707070"


def run(*, table: Path, csv: Path, images: Sequence[Path]) -> None:
    """Writes the differences in the metric that feature sets are compared by, and draws them.

    Args:
        table: the comparison's CSV.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    rows = read_numbers(table)
    metrics = rows["metric"].unique()
    best = next((name for name in BEST.values() if name in metrics), None)
    rows.filter(pl.col("metric") == best).select(COLUMNS).write_csv(csv)
    draw(csv, images)


def draw(csv: Path, outputs: Sequence[Path]) -> None:
    """Draws a line a pair, filled where the two are told apart, with its figures on the right.

    Args:
        csv: what :func:`run` wrote.
        outputs: image files.
    """
    whole = read_numbers(csv, dict.fromkeys(("difference", "low", "high"), pl.Float64))
    table = whole[:MOST]
    firsts = table["row"].unique(maintain_order=True).to_list()
    labels = [
        f"{row} – {other}" if len(firsts) > 1 else other for row, other in table.select("row", "other").iter_rows()
    ]
    places = np.arange(len(labels))
    figure = new_figure(1.1 + 0.18 * len(labels))
    axes = figure.subplots()
    value, low, high = (100 * table[name].to_numpy() for name in ("difference", "low", "high"))
    apart = table["told_apart"].to_numpy().astype(bool)
    axes.axvline(0, color="#888888", linewidth=0.8, zorder=1)
    for mask, colour, face, text in (
        (apart, BLUE, BLUE, "told apart (5 %, Holm)"),
        (~apart, OPEN, "white", "not told apart"),
    ):
        if mask.any():
            axes.hlines(places[mask], low[mask], high[mask], color=colour, linewidth=1.4, zorder=2)
            axes.scatter(
                value[mask], places[mask], s=22, edgecolor=colour, facecolor=face, linewidths=1.2, zorder=3, label=text
            )
    axes.set_yticks(places, labels)
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)
    rule(axes, "x")
    axes.tick_params(axis="y", length=0)
    for place, figures in enumerate(zip(value, low, high, strict=True)):
        text = "{:+.1f}  [{:+.1f}, {:+.1f}]".format(*figures).replace("-", "−")
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7)
    if len(table):
        axes.set_xlim(span([0, *low, *high], SPAN))
        first = f"{firsts[0]} less the other" if len(firsts) == 1 else "the first less the second"
        axes.set_xlabel(f"{heading_of(table['metric'][0])}, points: {first}, with 95 % intervals")
        key(figure, axes)
    more = f"the first {MOST} of {len(whole):,} pairs" if len(whole) > MOST else ""
    note(figure, "both rows on the same draws of patches that are not independent", more)
    save(figure, outputs)
