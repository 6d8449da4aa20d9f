"""Draw what feature sets know against what they cost, and write the table of it."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from earthprobe.describe import describe_data, describe_weights, is_random
from earthprobe.evaluation.best import best_on_val
from earthprobe.evaluation.metrics import BEST, heading_of
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import BLUE, ORANGE, key, new_figure, note, rule, save, span
from earthprobe.storage.files import read_json, write_csv, write_text
from earthprobe.storage.markdown import grid

COLUMNS = (
    "features",
    "model",
    "weights",
    "probe",
    "best",
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

FLOATS = dict.fromkeys(
    ("score", "low", "high", "flop", "patches_per_second", "peak_mib", "joules_per_patch"), pl.Float64
)

BESIDE = tuple((right, up) for right in (5, -5) for up in (5, -5, 0, 14, -14, 23, -23))
"""Where a name may stand beside its point, in points to the right and up."""
ROUNDS = 4
"""How often names are placed at the most, until the note below the figure has as many lines as they need."""
BEST_PROBE = pl.col("best") == 1
"""Of the probe that val likes best of its feature set."""
SPAN = 10.0
"""The least that the axis shows of a score, in points."""


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
        md: a table to read, a row a feature set with the probe that val likes best.
        images: files ending in .png, .pdf or .svg.
    """
    rows = []
    cost_of = dict(zip(dict.fromkeys(features), map(read_json, costs), strict=True))
    results = [read_json(path) for path in metrics]
    chosen = best_on_val(features, results)
    for row, (name, probe, result) in enumerate(zip(features, probes, results, strict=True)):
        cost = cost_of[name]
        source = result["features"]
        energy = None if cost["joules"] is None else cost["joules"] / cost["patches"]
        rows.append(
            (
                name,
                source["model"] or source["kind"],
                describe_weights(source),
                probe,
                int(row in chosen),
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
    write_text(md, _table(read_numbers(csv, FLOATS), len(results[0]["classes"])))
    draw(csv, images)


def _table(table: pl.DataFrame, classes: int) -> str:
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
        for row in table.filter(BEST_PROBE).iter_rows(named=True)
    ]
    machine = (
        f"Of the {table['data'][0]}, on {table['device'][0]}, {table['threads'][0]} threads; times are those of this"
        " machine and this run."
    )
    return (
        "\n\n".join([f"# Cost and quality, {classes} classes", machine, grid(heading, body, range(3, len(heading)))])
        + "\n"
    )


def draw(csv: Path, outputs: Sequence[Path]) -> None:
    """Draws the score of each feature set, by the probe that val likes best, against the time that its vectors take.

    Args:
        csv: what :func:`run` wrote.
        outputs: image files.
    """
    table = read_numbers(csv, FLOATS).filter(BEST_PROBE)
    figure = new_figure(3.8)
    axes = figure.subplots()
    points = []
    for row in table.iter_rows(named=True):
        untrained = is_random(row["weights"]) or row["weights"] in ("no weights", "train split")
        colour, marker = (ORANGE, "D") if untrained else (BLUE, "o")
        x, score, low, high = 1000 / row["patches_per_second"], *(100 * row[name] for name in ("score", "low", "high"))
        axes.vlines(x, low, high, color=colour, linewidth=0.8, zorder=1)
        axes.scatter(x, score, s=22, color=colour, marker=marker, linewidths=0, zorder=2)
        points.append((row["features"], x, score, low, high))
    axes.set_xscale("log")
    axes.set_xlim(min(point[1] for point in points) / 2, max(point[1] for point in points) * 2.5)
    axes.set_ylim(span([point[3:] for point in points], SPAN))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    rule(axes)
    axes.set_xlabel(f"ms a patch ({table['device'][0]}, {table['threads'][0]} threads)")
    axes.set_ylabel(f"{heading_of(table['metric'][0])} on test, %")
    for label, colour, marker in (("trained", BLUE, "o"), ("untrained, or pixels alone", ORANGE, "D")):
        axes.scatter([], [], s=22, color=colour, marker=marker, label=label, linewidths=0)
    key(figure, axes)
    said = ""
    for _ in range(ROUNDS):
        note(figure, table["data"][0], said)  # one of more lines leaves less room for names
        if (found := _name(axes, points)) == said:
            break
        said = found
    else:
        note(figure, table["data"][0], said)
    save(figure, outputs)


def _name(axes: Axes, points: Sequence[tuple[str, float, float, float, float]]) -> str:
    """Writes a name beside each point, where it covers no other name, point or interval.

    Returns:
        The names that have no such place, each with the number that stands there instead.
    """
    for text in list(axes.texts):
        text.remove()
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    frame = axes.get_window_extent()
    taken = []
    for _, x, *values in points:
        (across, middle), *ends = axes.transData.transform([(x, value) for value in values])
        taken.append(Bbox.from_bounds(across - 6, middle - 6, 12, 12))
        taken.append(Bbox.from_extents(across - 1, ends[0][1], across + 1, ends[1][1]))
    numbered: list[str] = []
    for name, x, y, low, high in points:
        places = [(y, right, up, "left" if right > 0 else "right", "center") for right, up in BESIDE]
        places += [(high, 0, 2, "center", "bottom"), (low, 0, -2, "center", "top")]
        number = f"({len(numbered) + 1})"
        for label, place in [*((name, place) for place in places), *((number, place) for place in places)]:
            start, right, up, ha, va = place
            text = axes.annotate(
                label, (x, start), xytext=(right, up), textcoords="offset points", fontsize=6.5, ha=ha, va=va
            )
            extent = text.get_window_extent()
            inside = all(frame.contains(*corner) for corner in extent.corners())
            if inside and not any(extent.overlaps(other) for other in taken):
                break
            if (label, place) != (number, places[-1]):
                text.remove()
        taken.append(extent)
        numbered += [f"{number} {name}"] if label == number else []
    return ", ".join(numbered)
