"""Draw what a varied option costs or gains."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from earthprobe.evaluation.metrics import BEST, heading_of
from earthprobe.figures.style import SERIES, beside, new_figure, note, save

AFTER = "probe"
"""The column behind those of the options, in the table that :mod:`earthprobe.steps.ablation` writes."""


SPAN = 0.1
"""The least that the axis shows of a score, so that what is no difference does not look like one."""


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
    table = pl.read_csv(csv, schema_overrides=dict.fromkeys(("score", "low", "high"), pl.Float64))
    options = table.columns[1 : table.columns.index(AFTER)]
    labels = [
        ", ".join(f"{option} {value}" for option, value in zip(options, values, strict=True))
        for values in table.unique("features", maintain_order=True).select(options).rows()
    ]
    places = np.arange(len(labels))
    figure = new_figure(1.0 + 0.24 * len(labels))
    axes = figure.subplots()
    probes = table["probe"].unique(maintain_order=True).to_list()
    for number, probe in enumerate(probes):
        here = table.filter(pl.col("probe") == probe)
        colour, marker = SERIES[number % len(SERIES)], "os^Dv<>P"[number % 8]
        y = places + beside(number, len(probes))
        axes.hlines(y, here["low"], here["high"], color=colour, linewidth=0.8, zorder=1)
        axes.scatter(here["score"], y, s=18, color=colour, marker=marker, linewidths=0, label=probe, zorder=2)
    low, high = float(table["low"].min()), float(table["high"].max())  # type: ignore[arg-type]
    margin = max(SPAN - (high - low), 0.1 * (high - low)) / 2
    axes.set_xlim(low - margin, high + margin)
    axes.set_yticks(places, labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{heading_of(table['metric'][0])} on the test split, with 95 % intervals")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.3)
    note(figure, table["data"][0], table["weights"][0])
    save(figure, outputs)
