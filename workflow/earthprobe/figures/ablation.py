"""Draw what a varied option costs or gains."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from earthprobe.evaluation.metrics import BEST, heading_of
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import beside, key, look, new_figure, note, rule, save, span

AFTER = "probe"
"""The column behind those of the options, in the table that :mod:`earthprobe.steps.ablation` writes."""


SPAN = 10.0
"""The least that the axis shows of a score, in points."""


def run(*, table: Path, csv: Path, images: Sequence[Path]) -> None:
    """Writes the score of each combination and probe, and draws them.

    Args:
        table: the ablation's CSV.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    rows = pl.read_csv(table, infer_schema=False)
    options = rows.columns[1 : rows.columns.index(AFTER)]
    best = next(name for name in BEST.values() if name in rows.columns)
    ends = {f"{best}_{end}": end for end in ("low", "high")}
    chosen = rows.select("features", *options, "probe", best, *ends, "data", "weights").rename(ends)
    chosen.rename({best: "score"}).with_columns(metric=pl.lit(best)).write_csv(csv)
    draw(csv, images)


def draw(csv: Path, outputs: Sequence[Path]) -> None:
    """Draws a line a combination, with a dot a probe.

    Args:
        csv: what :func:`run` wrote.
        outputs: image files.
    """
    table = read_numbers(csv, dict.fromkeys(("score", "low", "high"), pl.Float64))
    options = table.columns[1 : table.columns.index(AFTER)]
    labels = [
        ", ".join(f"{option} {value}" for option, value in zip(options, values, strict=True))
        for values in table.unique("features", maintain_order=True).select(options).rows()
    ]
    places = np.arange(len(labels))
    probes = table["probe"].unique(maintain_order=True).to_list()
    figure = new_figure(1.0 + (0.12 + 0.06 * len(probes)) * len(labels))
    axes = figure.subplots()
    for number, probe in enumerate(probes):
        here = table.filter(pl.col("probe") == probe)
        colour, marker, _ = look(number)
        y = places + beside(number, len(probes), 0.7)
        value, low, high = (100 * here[column].to_numpy() for column in ("score", "low", "high"))
        axes.hlines(y, low, high, color=colour, linewidth=0.8, zorder=1)
        axes.scatter(value, y, s=14, color=colour, marker=marker, linewidths=0, label=probe, zorder=2)
    axes.set_xlim(span(100 * table.select("low", "high").to_numpy(), SPAN))
    axes.set_yticks(places, labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    rule(axes, "x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{heading_of(table['metric'][0])} on test, %, with 95 % intervals")
    key(figure, axes)
    note(figure, *table["data"].unique(maintain_order=True), *table["weights"].unique(maintain_order=True))
    save(figure, outputs)
