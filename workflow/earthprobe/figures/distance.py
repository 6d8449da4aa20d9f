"""Draw scores against the distance to the nearest train patch: how much of a score is neighbourhood."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from earthprobe.evaluation.clusters import FEWEST
from earthprobe.evaluation.metrics import OF_FEW, heading_of
from earthprobe.evaluation.places import EDGES
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import GREY, MARKERS, SERIES, beside, new_figure, note, save

HELD_AGAINST = {"neighbours": "--", "prior": ":"}
"""Controls that stand beside the best rows: what lies near, and what no place tells."""

UNKNOWN = "The archive does not say where its patches are."


def run(*, csv: Path, images: Sequence[Path]) -> None:
    """Draws a line for the best probe of each feature set, controls in grey, and the share of patches below.

    Fewer than 20 patches stand in the CSV alone.

    Args:
        csv: the scores of rows by distance.
        images: files ending in .png, .pdf or .svg.
    """
    table = read_numbers(csv)
    lines = list(_lines(table))
    figure = new_figure(max(3.8, 1 + 0.17 * len(lines)))
    if table.is_empty():
        figure.text(0.5, 0.5, UNKNOWN, ha="center")
        save(figure, images)
        return
    metric = next(names[0] for names in OF_FEW.values() if names[0] in table.columns)
    there = sorted(set(map(EDGES.index, table["km_from"].to_list())))
    # Where no patch lies between two, its place stays empty.
    ranges = list(pairwise(EDGES))[there[0] : there[-1] + 1]
    place = {low: number for number, (low, _) in enumerate(ranges)}
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for number, (name, style, whole) in enumerate(lines):
        here = whole.filter(pl.col("patches") >= FEWEST)
        x = np.array([place[row["km_from"]] for row in here.iter_rows(named=True)], np.float64)
        x += beside(number, len(lines), 0.4)
        value, low, high = (100 * here[f"{metric}{end}"].cast(pl.Float64).to_numpy() for end in ("", "_low", "_high"))
        colour = GREY if style else SERIES[number % len(SERIES)]
        solid = "-" if number < len(SERIES) else "-."
        axes.plot(x, value, color="#808080" if style else colour, linestyle=style or solid, linewidth=1.2, label=name,
                  marker=None if style else MARKERS[number % len(MARKERS)], markersize=4)  # fmt: skip
        axes.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.8)
    axes.set_ylabel(f"{heading_of(metric)} on the test split, %")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.4)
    _shares(below, lines[0][2], place)
    below.set_xticks(range(len(ranges)), [_range(*ends) for ends in ranges])
    below.set_xlabel("km to the nearest train patch, from centre to centre")
    for part in (axes, below):
        part.grid(axis="y", color="#E6E6E6", linewidth=0.6)
        part.set_axisbelow(True)
    few = (table["patches"] < FEWEST).any()
    note(figure, table["data"][0], f"no score where fewer than {FEWEST} patches lie" if few else "")
    save(figure, images)


def _lines(table: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """The name of each line, the style of a control's, and its ranges."""
    for (features, probe), here in table.group_by("features", "probe", maintain_order=True):
        if here["best"][0]:
            yield f"{features}/{probe}", "", here.sort("km_from")
    for probe, style in HELD_AGAINST.items():
        here = table.filter((pl.col("features") == "control") & (pl.col("probe") == probe))
        if not here.is_empty():
            yield f"control/{probe}", style, here.sort("km_from")


def _shares(axes: Any, here: pl.DataFrame, place: Mapping[float, int]) -> None:
    """The share of patches at each distance, as the first row has scored them."""
    x = [place[row["km_from"]] for row in here.iter_rows(named=True)]
    share = 100 * here["share"].to_numpy()
    axes.bar(x, share, color=GREY, width=0.6)
    for left, height in zip(x, share.tolist(), strict=True):
        axes.annotate(f"{height:.1f}", (left, height), xytext=(0, 1), textcoords="offset points", ha="center",
                      fontsize=6.5)  # fmt: skip
    axes.set_ylim(0, 1.3 * share.max())
    axes.set_ylabel("patches, %")


def _range(low: float, high: float) -> str:
    if not np.isfinite(high):
        return f"> {low:g}"
    return f"≤ {high:g}" if low == 0 else f"{low:g}–{high:g}"
