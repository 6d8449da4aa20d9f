"""Gather the metrics of all feature sets and probes into the table of a label set, published ones below."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.metrics import BEST, METRICS_OF, MORE_OF, Metric, heading_of
from earthprobe.sections import Result, sections
from earthprobe.storage.files import read_csv, write_csv, write_text
from earthprobe.storage.html import page
from earthprobe.storage.markdown import grid
from earthprobe.table_notes import batched, leaves, limits, notes_of, origins

GAIN = "gain_over_pixels"
"""A feature set's mAP macro less that of the best control with the same bands and probe."""

CONTROLS = ("statistics", "rcf")
"""The kinds of model that tell what the pixels alone know."""

GAIN_HEADING = "gain over pixels"
TIED = "tied_with_best"
"""Whether a row cannot be told apart from the best one."""

MARK = "°"
TIED_NOTE = (
    "°: the best row by {metric}, {best}, and those that cannot be told apart from it (5 %, Holm over all comparisons)."
)

STYLE = "td:nth-child(n+3):nth-last-child(n+2) { text-align: right; } tr.published { color: #666; }"


def run(
    *,
    metrics: Sequence[Path],
    features: Sequence[str],
    probes: Sequence[str],
    published: Path,
    comparison: Path | None = None,
    label_set: str,
    csv: Path,
    md: Path,
    html: Path,
) -> None:
    """Writes the table of a label set as CSV (fractions), Markdown and HTML (percent, as in the study).

    Args:
        metrics: a ``metrics.json`` a row, in their order.
        features: the feature set of each.
        probes: the probe of each.
        comparison: CSV of the comparisons of these rows, by which some share a mark with the best.
        published: CSV of published results, columns ``label_set`` (or the name of an archive), ``reference``, ``data``,
            ``features``, ``probe`` and the metrics; a metric that was not published is empty.
        label_set: the label set's name.
        csv: the table with all columns.
        md: the table to read, with what one must know about it.
        html: the same for the report.
    """
    results = [
        (name, probe, json.loads(path.read_text(encoding="utf-8")))
        for name, probe, path in zip(features, probes, metrics, strict=True)
    ]
    results = [result for result in results if result[2].get("control", {}).get("known", True)]
    controls = [result for result in results if "control" in result[2]]
    results = [result for result in results if "control" not in result[2]] + controls
    tied = _tied(comparison, results)
    ours = [{**_own_row(*result), GAIN: gain(result, results)} for result in results]
    for row in ours:
        row[TIED] = int(f"{row['features']}/{row['probe']}" in tied) if tied else ""
    theirs = [
        {**row, "source": f"published: {row['reference']}"}
        for row in read_csv(published)
        if row["label_set"] in (label_set, results[0][2]["features"]["archive"])
    ]
    task = results[0][2]["task"]
    measured = METRICS_OF[task]
    columns = columns_of(task)
    write_csv(csv, columns, [[row.get(column, "") for column in columns] for row in (*ours, *theirs)])
    title = f"Classification, {label_set if label_set.isdigit() else len(results[0][2]['classes'])} classes"
    models = [row for row, result in zip(ours, results, strict=True) if "control" not in result[2]] or ours
    gains = any(row[GAIN] is not None for row in ours)
    notes = [
        *notes_of(models, results[0][2], gains),
        *([TIED_NOTE.format(metric=heading_of(BEST[task]), best=tied[0])] if tied else []),
        *origins([result for result in results if "control" not in result[2]]),
        *batched(results),
        *leaves(results),
        *limits(results),
    ]
    below = [f"Control {probe}: {result['control']['says']}." for _, probe, result in controls]
    heading = [
        "features",
        "probe",
        *(metric.heading for metric in measured),
        *([GAIN_HEADING] if gains else []),
        "source",
    ]
    body = [
        [
            ", ".join(filter(None, (row["features"], row[aside]))),
            row["probe"],
            *(_figure(metric, row, BEST[task]) for metric in measured),
            *(["–" if row.get(GAIN) is None else f"{100 * row[GAIN]:+.1f}"] if gains else []),
            row["source"],
        ]
        for aside, group in (("weights", ours), ("data", theirs))
        for row in group
    ]
    parts = [f"# {title}", *notes, grid(heading, body, range(2, len(heading) - 1)), *below]
    further = sections(results)
    for part in further:
        parts += [f"## {part.title}", *part.notes, grid(part.heading, part.body, range(2, len(part.heading)))]
    write_text(md, "\n\n".join(parts) + "\n")
    marked = [("" if number < len(ours) else "published", row) for number, row in enumerate(body)]
    write_text(html, page(title, notes, heading, marked, STYLE, below, further))


def columns_of(task: str) -> tuple[str, ...]:
    """The columns of a table: those of the reference study first, then intervals by clusters, and by patches.

    What is tuned on val, of the classes that occur, of calibration and of seeds follows.
    """
    measured = METRICS_OF[task]
    ends = [f"{metric.name}{kind}_{end}" for kind in ("", "_patch") for metric in measured for end in ("low", "high")]
    return (
        "features",
        "probe",
        *(metric.name for metric in measured),
        "source",
        "data",
        "weights",
        "classes_without_positive",
        GAIN,
        TIED,
        "limits",
        "clusters",
        "cluster",
        *ends,
        *(f"{metric.name}{end}" for metric in MORE_OF[task] for end in ("", "_low", "_high")),
        "threshold_global",
        "temperature",
        "seeds",
        *(f"{metric.name}_seed_deviation" for metric in measured),
    )


def _tied(comparison: Path | None, results: Sequence[Result]) -> list[str]:
    """The best row, and those that cannot be told apart from it; nothing where it was not compared with all."""
    best = BEST[results[0][2]["task"]]
    models = [result for result in results if "control" not in result[2]] or results
    features, probe, _ = max(models, key=lambda result: result[2]["test"][best])
    first = f"{features}/{probe}"
    lines = [line for line in (read_csv(comparison) if comparison else []) if line["metric"] == best]
    compared = [line for line in lines if line["row"] == first]
    if not compared or len(compared) < len(results) - 1:
        return []
    return [first, *(line["other"] for line in compared if line["told_apart"] == "0")]


def gain(result: Result, results: Sequence[Result]) -> float | None:
    """What a feature set knows beyond the pixels: its mAP macro (or balanced accuracy) less that of the best control.

    Returns:
        None for a control, and where there is none with the same bands and probe.
    """
    _, probe, found = result
    best = BEST[found["task"]]
    controls = [
        other["test"][best]
        for _, its_probe, other in results
        if its_probe == probe
        and other["features"].get("kind") in CONTROLS
        and sorted(other["features"]["bands"]) == sorted(found["features"]["bands"])
    ]
    if not controls or found["features"].get("kind") in CONTROLS:
        return None
    return float(found["test"][best] - max(controls))


def _own_row(features: str, probe: str, result: Mapping[str, Any]) -> dict[str, Any]:
    source, test = result["features"], result["test"]
    seeds = result.get("seeds", {"count": 1, "deviation": {}})
    return {
        "features": features,
        "probe": probe,
        **{metric.name: test[metric.name] for metric in (*METRICS_OF[result["task"]], *MORE_OF[result["task"]])},
        **{
            f"{name}{kind}_{end}": value
            for kind, key in (("", "intervals"), ("_patch", "patch_intervals"))
            for name, ends in result[key].items()
            for end, value in zip(("low", "high"), ends, strict=True)
        },
        **result["tuned"],
        "seeds": seeds["count"],
        **{f"{name}_seed_deviation": value for name, value in seeds["deviation"].items()},
        "limits": "; ".join(result.get("limits", [])),
        "clusters": result["intervals_by"]["clusters"],
        "cluster": result["intervals_by"]["cluster"],
        "source": "this run",
        "data": describe_data(source),
        "weights": "" if "control" in result else describe_weights(source),
        "classes_without_positive": test["classes_without_positive"],
    }


def _figure(metric: Metric, row: Mapping[str, Any], best: str) -> str:
    value = row.get(metric.name)
    if value in ("", None):
        return "–"
    if f"{metric.name}_low" not in row:
        return metric.show_published(str(value))
    mark = MARK if metric.name == best and row.get(TIED) == 1 else ""
    return metric.show_all(float(value), [row[f"{metric.name}_{end}"] for end in ("low", "high")], mark)
