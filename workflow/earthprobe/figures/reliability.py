"""Draw whether scores mean what they say: the share that is true against the score, before and after a temperature."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import key, look, new_figure, note, rule, save
from earthprobe.storage.files import write_csv

COLUMNS = ("probe", "scores", "low", "high", "pairs", "score", "share", "data", "weights")
PANELS = {"plain": "as scored", "tempered": "after the temperature of val"}
FEWEST = 20
"""Pairs of a patch and a class that a point needs: the share of fewer says little."""


def run(*, probes: Sequence[str], calibration: Sequence[Path], csv: Path, images: Sequence[Path]) -> None:
    """Writes the bins of all probes, and draws them.

    Args:
        probes: the name of each probe.
        calibration: its ``calibration.csv``.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    tables = [
        read_numbers(path).with_columns(probe=pl.lit(name)) for name, path in zip(probes, calibration, strict=True)
    ]
    write_csv(csv, COLUMNS, pl.concat(tables, how="vertical_relaxed").select(COLUMNS).rows())
    draw(csv, images)


def draw(csv: Path, outputs: Sequence[Path]) -> None:
    """Draws a panel before and one after the temperature, a line a probe.

    Args:
        csv: what :func:`run` wrote.
        outputs: image files.
    """
    table = read_numbers(csv)
    probes = table["probe"].unique(maintain_order=True).to_list()
    figure = new_figure(3.4)
    for axes, (scores, title) in zip(figure.subplots(1, 2, sharey=True), PANELS.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="#B0B0B0", linewidth=0.8, zorder=0)
        for number, probe in enumerate(probes):
            here = table.filter((pl.col("scores") == scores) & (pl.col("probe") == probe) & (pl.col("pairs") >= FEWEST))
            colour, marker, style = look(number)
            axes.plot(here["score"], here["share"], color=colour, marker=marker, linestyle=style, markersize=3.5,
                      linewidth=0.9, label=probe, clip_on=False)  # fmt: skip
        axes.set_title(title)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("score")
        rule(axes)
    figure.axes[0].set_ylabel("share that is true")
    key(figure, figure.axes[0])
    few = f"15 bins; those of fewer than {FEWEST} scores are left out"
    note(figure, "test split, all classes together", few, table["data"][0], table["weights"][0])
    save(figure, outputs)
