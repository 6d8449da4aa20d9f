"""Draw scores against how far train patches must be from test: what of a score is neighbourhood."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from earthprobe.describe import describe_data
from earthprobe.evaluation.metrics import BEST, heading_of
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import MARKERS, Look, beside, key, look, new_figure, note, rule, save
from earthprobe.storage.files import write_csv

COLUMNS = ("row", "cells", "metric", "score", "low", "high", "train_patches", "data")


def run(
    *, metrics: Sequence[Path], rows: Sequence[str], cells: Sequence[float], csv: Path, images: Sequence[Path]
) -> None:
    """Writes the scores of each row at each width, and draws them.

    Args:
        metrics: a ``metrics.json`` a row and width.
        rows: the row of each.
        cells: the width of each.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    lines = []
    for path, row, width in zip(metrics, rows, cells, strict=True):
        result = json.loads(path.read_text(encoding="utf-8"))
        if not result.get("control", {}).get("known", True):
            continue
        best = BEST[result["task"]]
        score = (result["test"][best], *result["intervals"][best])
        lines.append((row, width, best, *score, result["patches"]["train"], describe_data(result["features"])))
    write_csv(csv, COLUMNS, lines)
    draw(csv, images)


def draw(csv: Path, outputs: Sequence[Path]) -> None:
    """Draws a line a row, controls in grey, with the number of train patches below.

    Args:
        csv: what :func:`run` wrote.
        outputs: image files.
    """
    table = read_numbers(csv, dict.fromkeys(("score", "low", "high"), pl.Float64))
    widths = table["cells"].unique().sort().to_list()
    place = {width: number for number, width in enumerate(widths)}
    names = table["row"].unique(maintain_order=True).to_list()
    models = [name for name in names if not name.startswith("control/")]
    controls = [name for name in names if name not in models]
    figure = new_figure(3.2 + 0.14 * -(-len(names) // 4))
    axes = figure.subplots()
    for number, name in enumerate([*models, *controls]):
        here = table.filter(pl.col("row") == name).sort("cells")
        offset = beside(number, len(names), min(0.03 * len(names), 0.6))
        x = np.array([place[width] for width in here["cells"]]) + offset
        value, low, high = (100 * here[column].to_numpy() for column in ("score", "low", "high"))
        colour, marker, style = look(number) if number < len(models) else control(number - len(models))
        face, above = (colour, 3) if number < len(models) else ("white", 2)
        axes.plot(x, value, color=colour, linestyle=style, linewidth=1.0, label=name, marker=marker, markersize=4,
                  markerfacecolor=face, markeredgewidth=0.8, zorder=above)  # fmt: skip
        axes.vlines(x, low, high, color=colour, linewidth=0.8)
    trained = {row["cells"]: row["train_patches"] for row in table.iter_rows(named=True)}
    axes.set_xticks(range(len(widths)), [f"{width:g}\n{trained[width]:,}" for width in widths])
    axes.set_xlabel("cells of 1.2 km around test without a train patch; train patches that are left")
    axes.set_ylabel(f"{heading_of(table['metric'][0])} on test, %")
    axes.set_ylim(bottom=0)
    rule(axes, "y")
    key(figure, axes)
    note(figure, table["data"][0])
    save(figure, outputs)


def control(number: int) -> Look:
    """The look of a row that sees no pixel: grey, and told from others of them by its line and its marker."""
    styles = ("--", ":", "-.", (0, (6, 2)), (0, (1, 3)), (0, (5, 1, 1, 1)), "-")
    return Look("#606060", MARKERS[number % len(MARKERS)], styles[number % len(styles)])
