"""Draw F2 of each class, probes side by side (figure 4 of the reference study)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import beside, key, look, new_figure, note, rule, save, short
from earthprobe.storage.files import write_csv

COLUMNS = ("class", "name", "support", "probe", "f2", "f2_low", "f2_high", "data", "weights")
ONE_PANEL = 24
"""Classes up to which they stand below each other; more are halved, so that the figure fits a page."""


def run(*, probes: Sequence[str], per_class: Sequence[Path], csv: Path, images: Sequence[Path]) -> None:
    """Writes the F2 of each class and probe, and draws them.

    Args:
        probes: the name of each probe.
        per_class: its ``per_class.csv``.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    gather(probes, per_class, csv)
    draw(csv, images)


def gather(probes: Sequence[str], per_class: Sequence[Path], output: Path) -> None:
    """Writes the F2 of each class and probe, classes by falling support.

    Args:
        probes: the name of each probe.
        per_class: its ``per_class.csv``.
        output: the CSV.
    """
    tables = [read_numbers(p).with_columns(probe=pl.lit(n)) for n, p in zip(probes, per_class, strict=True)]
    table = pl.concat(tables).with_columns(pl.col("probe").cast(pl.Enum(list(dict.fromkeys(probes)))))
    table = table.sort(["support", "class", "probe"], descending=[True, False, False])
    write_csv(output, COLUMNS, table.select(COLUMNS).rows())


def draw(csv: Path, outputs: Sequence[Path]) -> None:
    """Draws one dot a probe on each class's line, with its interval, and the class's support beside its name.

    Args:
        csv: what :func:`gather` wrote.
        outputs: image files.
    """
    table = read_numbers(csv)
    probes = table["probe"].unique(maintain_order=True).to_list()
    classes = table.unique("class", maintain_order=True)
    panels = 1 if len(classes) <= ONE_PANEL else 2
    rows = -(-len(classes) // panels)
    # A marker is 0.048 inches high: what stands side by side touches none.
    figure = new_figure(0.9 + (0.07 + 0.055 * len(probes)) * rows)
    for panel, axes in enumerate(figure.subplots(1, panels, squeeze=False).ravel()):
        here = classes[panel * rows : (panel + 1) * rows]
        _panel(axes, table.filter(pl.col("class").is_in(here["class"].implode())), probes, 48 if panels == 1 else 30)
        axes.set_ylim(rows - 0.4, -0.6)
        axes.set_xlabel("F2 on test, with 95 % intervals")
    key(figure, figure.axes[0])
    note(figure, "in brackets: test patches with the class", table["data"][0], table["weights"][0])
    save(figure, outputs)


def _panel(axes: Axes, table: pl.DataFrame, probes: Sequence[str], width: int) -> None:
    classes = table.unique("class", maintain_order=True)
    places = np.arange(len(classes))
    for number, probe in enumerate(probes):
        here = table.filter(pl.col("probe") == probe)
        # Of a class that no patch has there is no F2 to draw.
        there = here["support"].to_numpy() > 0
        here = here.filter(there)
        y = (places + beside(number, len(probes), 0.75))[there]
        colour, marker, _ = look(number)
        axes.hlines(y, here["f2_low"], here["f2_high"], color=colour, linewidth=0.8, zorder=1)
        axes.scatter(
            here["f2"], y, s=12, color=colour, marker=marker, label=probe, zorder=2, linewidths=0, clip_on=False
        )
    axes.hlines(places[:-1] + 0.5, -0.04, 1.02, color="#EEEEEE", linewidth=0.5, zorder=0)
    axes.set_yticks(
        places, [f"{short(n, width)}  ({s:,})" for n, s in zip(classes["name"], classes["support"], strict=True)]
    )
    axes.set_xlim(-0.04, 1.02)
    rule(axes, "x")
    axes.tick_params(axis="y", length=0)
