"""Draw scores against how far train patches must be from test: what of a score is neighbourhood."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from earthprobe.describe import describe_data
from earthprobe.evaluation.metrics import BEST, heading_of
from earthprobe.figures.style import GREY, SERIES, new_figure, note, save
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
    table = pl.read_csv(csv, schema_overrides={"score": pl.Float64, "low": pl.Float64, "high": pl.Float64})
    widths = table["cells"].unique().sort().to_list()
    place = {width: number for number, width in enumerate(widths)}
    figure = new_figure(3.4)
    axes = figure.subplots()
    names = table["row"].unique(maintain_order=True).to_list()
    models = [name for name in names if not name.startswith("control/")]
    controls = [name for name in names if name not in models]
    styles = ["--", ":", "-.", (0, (6, 2)), (0, (1, 3)), (0, (5, 1, 1, 1)), "-"]
    for number, name in enumerate([*models, *controls]):
        here = table.filter(pl.col("row") == name).sort("cells")
        x = np.array([place[width] for width in here["cells"]]) + 0.02 * (number - len(names) / 2)
        value, low, high = (100 * here[column].to_numpy() for column in ("score", "low", "high"))
        is_control = name in controls
        colour = GREY if is_control else SERIES[number % len(SERIES)]
        style = styles[(number - len(models)) % len(styles)] if is_control else "-"
        axes.plot(x, value, color="#808080" if is_control else colour, linestyle=style, linewidth=1.2, label=name,
                  marker=None if is_control else "os^Dv<>P"[number % 8], markersize=4)  # fmt: skip
        axes.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.8)
    trained = {row["cells"]: row["train_patches"] for row in table.iter_rows(named=True)}
    axes.set_xticks(range(len(widths)), [f"{width:g}\n{trained[width]:,}" for width in widths])
    axes.set_xlabel("cells of 1.2 km around test without a train patch; train patches that are left")
    axes.set_ylabel(f"{heading_of(table['metric'][0])} on the test split, %")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.4)
    note(figure, table["data"][0])
    save(figure, outputs)
