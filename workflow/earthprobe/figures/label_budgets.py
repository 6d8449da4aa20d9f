"""Draw scores against how many train patches have labels: a panel a probe, a line a feature set."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.metrics import BEST, METRICS_OF, heading_of
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import beside, key, look, new_figure, note, rule, save, span
from earthprobe.storage.files import read_json, write_csv, write_text
from earthprobe.storage.markdown import grid

COLUMNS = ("features", "probe", "budget", "train_patches", "draws", "metric", "score", "low", "high", "data", "weights")
PANELS_A_ROW = 3
FEW = 7
"""Feature sets up to which panels stand side by side; more need the whole width to be told apart."""
SPREAD = 1.025
"""By what a line is set apart from the next, where they have one number of patches."""
SPAN = 20.0
"""The least that the axis shows of a score, in points."""

NOTE = (
    "Train patches with labels are drawn tile by tile (or scene by scene), a smaller budget a part of each larger one,"
    " and val is cut alike. Figures are means over the draws; in brackets: {level:.0f} % intervals, which hold the"
    " chance of draws and of test patches."
)


def run(
    *,
    metrics: Sequence[Path],
    features: Sequence[str],
    probes: Sequence[str],
    budgets: Sequence[str],
    csv: Path,
    md: Path,
    images: Sequence[Path],
) -> None:
    """Writes the scores of each feature set and probe at each budget, and draws them.

    Args:
        metrics: a ``metrics.json`` a feature set, probe and budget.
        features: the feature set of each.
        probes: the probe of each.
        budgets: the budget of each: a number of train patches, or ``all``.
        csv: all metrics, a line each.
        md: a table to read, by the metric that feature sets are compared by.
        images: files ending in .png, .pdf or .svg.
    """
    results = [read_json(path) for path in metrics]
    lines: list[tuple[Any, ...]] = []
    for name, probe, budget, result in zip(features, probes, budgets, results, strict=True):
        train = result["patches"]["train"]
        origin = (describe_data(result["features"]), describe_weights(result["features"]))
        draws = result["intervals_by"]["repeats"]
        for metric in METRICS_OF[result["task"]]:
            figures = (result["test"][metric.name], *result["intervals"][metric.name])
            lines.append((name, probe, budget, train, draws, metric.name, *figures, *origin))
    write_csv(csv, COLUMNS, lines)
    write_text(md, _table(lines, results[0]))
    draw(csv, BEST[results[0]["task"]], images)


def _table(lines: Sequence[tuple[Any, ...]], result: dict[str, Any]) -> str:
    best = next(metric for metric in METRICS_OF[result["task"]] if metric.name == BEST[result["task"]])
    budgets = list(dict.fromkeys(line[2] for line in lines))
    cells = {line[:3]: f"{best.show_all(line[6], line[7:9])} ({line[3]:,})" for line in lines if line[5] == best.name}
    rows = list(dict.fromkeys(line[:2] for line in lines))
    body = [[*row, *(cells[(*row, budget)] for budget in budgets)] for row in rows]
    notes = [
        f"{heading_of(best.name)} on test, in percent, and the train patches that have labels.",
        NOTE.format(level=100 * result["intervals_by"]["level"]),
    ]
    if result["features"]["simulated"]:
        notes.insert(0, "**Simulated archive: these figures show that the workflow runs, nothing else.**")
    title = f"# Label budgets, {len(result['classes'])} classes"
    return "\n\n".join([title, *notes, grid(["features", "probe", *budgets], body, range(2, 2 + len(budgets)))]) + "\n"


def draw(csv: Path, metric: str, outputs: Sequence[Path]) -> None:
    """Draws the curves.

    Args:
        csv: what :func:`run` wrote.
        metric: which of its metrics.
        outputs: image files.
    """
    table = read_numbers(csv).filter(pl.col("metric") == metric)
    names, probes = (table[column].unique(maintain_order=True).to_list() for column in ("features", "probe"))
    ticks = table["train_patches"].unique().sort().to_list()
    columns = min(len(probes), PANELS_A_ROW if len(names) <= FEW else 1)
    rows = -(-len(probes) // columns)
    # Set apart, but never as far as the next number of patches is.
    nearest = min((more / less for less, more in pairwise(ticks)), default=2.0)
    spread = min(SPREAD ** len(names), nearest**0.6)
    named = apart(ticks, 1 / (9 if columns > 1 else 20))
    figure = new_figure(0.6 + 2.4 * rows + 0.14 * -(-len(names) // 4))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for panel, (axes, probe) in enumerate(zip(panels, probes, strict=False)):
        for number, name in enumerate(names):
            here = table.filter((pl.col("probe") == probe) & (pl.col("features") == name)).sort("train_patches")
            x = here["train_patches"].to_numpy() * spread ** beside(number, len(names), 1.0)
            value, low, high = (100 * here[column].to_numpy() for column in ("score", "low", "high"))
            colour, marker, style = look(number)
            axes.plot(x, value, color=colour, marker=marker, markersize=3, linewidth=1, linestyle=style, label=name)
            axes.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.8)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(ticks, [f"{tick:,}" if tick in named else "" for tick in ticks])
        axes.set_title(probe)
        if panel + columns >= len(probes):  # below it there is none
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("train patches with labels")
        axes.set_ylabel("" if panel % columns else f"{heading_of(metric)} on test, %")
        rule(axes)
    for axes in panels[len(probes) :]:
        axes.set_axis_off()
    bottom, top = span(100 * table.select("low", "high").to_numpy(), SPAN)
    panels[0].set_ylim(max(bottom, 0), top)
    key(figure, panels[0])
    note(figure, table["data"][0], table["weights"][0] if len(names) == 1 else "")
    save(figure, outputs)


def apart(ticks: Sequence[int], room: float) -> set[int]:
    """The ticks of a logarithmic axis whose numbers cover no other: from the last, those with room for theirs."""
    if not ticks or ticks[0] == ticks[-1]:
        return set(ticks)
    kept = [ticks[-1]]
    for tick in reversed(ticks[:-1]):
        if math.log(kept[-1] / tick) >= room * math.log(ticks[-1] / ticks[0]):
            kept.append(tick)
    return set(kept)
