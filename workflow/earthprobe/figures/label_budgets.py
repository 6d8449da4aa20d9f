"""Draw scores against how many train patches have labels: a panel a probe, a line a feature set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.metrics import BEST, METRICS_OF, heading_of
from earthprobe.figures.style import MARKERS, SERIES, beside, new_figure, note, save
from earthprobe.storage.files import read_json, write_csv, write_text
from earthprobe.storage.markdown import grid

COLUMNS = ("features", "probe", "budget", "train_patches", "draws", "metric", "score", "low", "high", "data", "weights")
PANELS_A_ROW = 3
SPREAD = 1.12
"""By what lines are set apart, in all, where they have one number of patches."""

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
    table = pl.read_csv(csv, infer_schema_length=None).filter(pl.col("metric") == metric)
    names, probes = (table[column].unique(maintain_order=True).to_list() for column in ("features", "probe"))
    ticks = table["train_patches"].unique().sort().to_list()
    rows = -(-len(probes) // PANELS_A_ROW)
    columns = min(len(probes), PANELS_A_ROW)
    figure = new_figure(0.6 + 2.5 * rows + 0.14 * -(-len(names) // 4))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, probe in zip(panels, probes, strict=False):
        for number, name in enumerate(names):
            here = table.filter((pl.col("probe") == probe) & (pl.col("features") == name)).sort("train_patches")
            x = here["train_patches"].to_numpy() * SPREAD ** beside(number, len(names), 1.0)
            value, low, high = (100 * here[column].to_numpy() for column in ("score", "low", "high"))
            colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            style = "-" if number < len(SERIES) else "--"
            axes.plot(x, value, color=colour, marker=marker, markersize=3, linewidth=1, linestyle=style, label=name)
            axes.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.8)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_title(probe)
        axes.set_xlabel("train patches with labels")
        axes.set_ylim(bottom=0)
        axes.grid(color="#E6E6E6", linewidth=0.6)
        axes.set_axisbelow(True)
    for axes in panels[len(probes) :]:
        axes.set_axis_off()
    panels[0].set_ylabel(f"{heading_of(metric)} on the test split, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, handletextpad=0.4)
    note(figure, table["data"][0], table["weights"][0] if len(names) == 1 else "")
    save(figure, outputs)
