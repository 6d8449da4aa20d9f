"""Draw what feature sets know against what they cost, and write the table of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.transforms import Bbox

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.metrics import BEST, heading_of
from earthprobe.figures.style import SERIES, new_figure, note, save
from earthprobe.storage.files import read_json, write_csv, write_text
from earthprobe.storage.markdown import grid

COLUMNS = (
    "features",
    "model",
    "weights",
    "probe",
    "metric",
    "score",
    "low",
    "high",
    "parameters",
    "flop",
    "patches_per_second",
    "peak_mib",
    "joules_per_patch",
    "bytes",
    "device",
    "threads",
    "data",
)


PLACES = ((5, 5), (5, -5), (-5, 5), (-5, -5), (5, 13), (5, -13), (-5, 13), (-5, -13), (5, 5))
"""Where a name may stand beside its point, in points to the right and up."""


def run(
    *,
    costs: Sequence[Path],
    metrics: Sequence[Path],
    features: Sequence[str],
    probes: Sequence[str],
    csv: Path,
    md: Path,
    images: Sequence[Path],
) -> None:
    """Writes cost and quality of each feature set and probe, and draws them.

    Args:
        costs: what the step ``cost`` wrote, a file a feature set, in their order.
        metrics: a ``metrics.json`` a row.
        features: the feature set of each row.
        probes: the probe of each.
        csv: the numbers of the figure.
        md: a table to read, a row a feature set with its best probe.
        images: files ending in .png, .pdf or .svg.
    """
    rows = []
    cost_of = dict(zip(dict.fromkeys(features), map(read_json, costs), strict=True))
    for name, probe, path in zip(features, probes, metrics, strict=True):
        cost, result = cost_of[name], read_json(path)
        source = result["features"]
        energy = None if cost["joules"] is None else cost["joules"] / cost["patches"]
        rows.append(
            (
                name,
                source["model"] or source["kind"],
                describe_weights(source),
                probe,
                BEST[result["task"]],
                result["test"][BEST[result["task"]]],
                *result["intervals"][BEST[result["task"]]],
                cost["parameters"],
                cost["flop"],
                cost["patches_per_second"],
                cost["peak_mib"],
                energy,
                cost["bytes"],
                cost["device"],
                cost["threads"],
                describe_data(source),
            )
        )
    write_csv(csv, COLUMNS, rows)
    write_text(md, _table(pl.read_csv(csv)))
    draw(csv, images)


def best(table: pl.DataFrame) -> pl.DataFrame:
    """The row of each feature set's best probe, in the order of the feature sets."""
    order = table["features"].unique(maintain_order=True).to_list()
    return pl.concat([table.filter(pl.col("features") == name).sort("score", descending=True)[:1] for name in order])


def _table(table: pl.DataFrame) -> str:
    measured = f"{heading_of(table['metric'][0])} %"
    heading = [
        "features", "weights", "best probe", measured, "parameters, M", "GFLOP a patch", "patches a second",
        "peak MiB", "J a patch", "bytes a vector",
    ]  # fmt: skip
    body = [
        [
            row["features"],
            row["weights"],
            row["probe"],
            f"{100 * row['score']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]",
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['flop'] / 1e9:.2f}",
            f"{row['patches_per_second']:.0f}",
            f"{row['peak_mib']:.0f}",
            "–" if row["joules_per_patch"] is None else f"{row['joules_per_patch']:.2f}",
            str(row["bytes"]),
        ]
        for row in best(table).iter_rows(named=True)
    ]
    machine = (
        f"Of the {table['data'][0]}, on {table['device'][0]}, {table['threads'][0]} threads; times are those of this"
        " machine and this run."
    )
    return "\n\n".join(["# Cost and quality", machine, grid(heading, body, range(3, len(heading)))]) + "\n"


def draw(csv: Path, outputs: Sequence[Path]) -> None:
    """Draws the best probe's mAP of each feature set against the time that its vectors take.

    Args:
        csv: what :func:`run` wrote.
        outputs: image files.
    """
    table = best(pl.read_csv(csv))
    figure = new_figure(4.2)
    axes = figure.subplots()
    times = [1000 / rate for rate in table["patches_per_second"]]
    for number, row in enumerate(table.iter_rows(named=True)):
        untrained = row["weights"].startswith(("random", "no weights", "train"))
        colour = SERIES[1] if untrained else SERIES[0]
        axes.vlines(times[number], row["low"], row["high"], color=colour, linewidth=0.8, zorder=1)
        axes.scatter(times[number], row["score"], s=26, color=colour, marker="D" if untrained else "o", linewidths=0)
    axes.set_xscale("log")
    # What is no difference must not look like one.
    axes.set_xlim(min(times) / 2, max(times) * 3)
    low, high = float(table["low"].min()), float(table["high"].max())  # type: ignore[arg-type]
    middle = (low + high) / 2
    half = max(0.1, 1.3 * (high - middle))
    axes.set_ylim(middle - half, middle + half)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.grid(color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"ms a patch ({table['device'][0]}, {table['threads'][0]} threads)")
    axes.set_ylabel(f"{heading_of(table['metric'][0])} on the test split, best probe")
    for label, colour, marker in (("trained", SERIES[0], "o"), ("untrained, or pixels alone", SERIES[1], "D")):
        axes.scatter([], [], s=26, color=colour, marker=marker, label=label, linewidths=0)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.1), ncols=2, handletextpad=0.2)
    _name(axes, [(row["features"], times[number], row["score"]) for number, row in enumerate(table.rows(named=True))])
    note(figure, table["data"][0])
    save(figure, outputs)


def _name(axes: Any, points: Sequence[tuple[str, float, float]]) -> None:
    """Writes a name beside each point, where it covers no other name and no other point, if there is such a place."""
    figure = axes.figure
    figure.draw_without_rendering()
    pixels = [axes.transData.transform((x, y)) for _, x, y in points]
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in pixels]
    if axes.get_legend():
        taken.append(axes.get_legend().get_window_extent())
    for name, x, y in points:
        for place, (right, up) in enumerate(PLACES):
            text = axes.annotate(
                name,
                (x, y),
                xytext=(right, up),
                textcoords="offset points",
                fontsize=6.5,
                ha="left" if right > 0 else "right",
                va="center",
            )
            extent = text.get_window_extent()
            if not any(extent.overlaps(other) for other in taken) or place == len(PLACES) - 1:
                taken.append(extent)
                break
            text.remove()
