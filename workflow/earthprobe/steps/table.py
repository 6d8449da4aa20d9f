"""Gather the metrics of all feature sets and probes into the table of a label set, published ones below."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.metrics import BEST, METRICS_OF, Metric, heading_of
from earthprobe.storage.files import read_csv, write_csv, write_text
from earthprobe.storage.markdown import grid

GAIN = "gain_over_pixels"
"""A feature set's mAP macro less that of the best control with the same bands and probe."""

CONTROLS = ("statistics", "rcf")
"""The kinds of model that tell what the pixels alone know."""

GAIN_HEADING = "gain over pixels"
GAIN_NOTE = (
    "Gain over pixels: {metric} less that of the best of statistics and rcf with the same bands and probe, in points."
)

Result = tuple[str, str, Mapping[str, Any]]
"""A feature set, a probe, and their ``metrics.json``."""


def run(
    *,
    metrics: Sequence[Path],
    features: Sequence[str],
    probes: Sequence[str],
    published: Path,
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
    ours = [{**_own_row(*result), GAIN: gain(result, results)} for result in results]
    theirs = [
        {**row, "source": f"published: {row['reference']}"}
        for row in read_csv(published)
        if row["label_set"] in (label_set, results[0][2]["features"]["archive"])
    ]
    task = results[0][2]["task"]
    measured = METRICS_OF[task]
    columns = columns_of(measured, any("intervals" in result for _, _, result in results))
    write_csv(csv, columns, [[row.get(column, "") for column in columns] for row in (*ours, *theirs)])
    title = f"Classification, {label_set if label_set.isdigit() else len(results[0][2]['classes'])} classes"
    notes = [*_notes(label_set, ours, results[0][2]), *_origins(results)]
    gains = any(row[GAIN] is not None for row in ours)
    heading = [
        "features",
        "probe",
        *(metric.heading for metric in measured),
        *([GAIN_HEADING] if gains else []),
        "source",
    ]
    body = [
        [
            f"{row['features']}, {row[aside]}",
            row["probe"],
            *(_figure(metric, row) for metric in measured),
            *(["–" if row.get(GAIN) is None else f"{100 * row[GAIN]:+.1f}"] if gains else []),
            row["source"],
        ]
        for aside, group in (("weights", ours), ("data", theirs))
        for row in group
    ]
    write_text(md, "\n\n".join([f"# {title}", *notes, grid(heading, body, range(2, len(heading) - 1))]) + "\n")
    write_text(html, _page(title, notes, heading, body, len(ours)))


def columns_of(measured: Sequence[Metric], with_intervals: bool) -> tuple[str, ...]:
    """The columns of a table: those of the reference study first, then what there is of intervals."""
    ends = [f"{metric.name}_{end}" for metric in measured for end in ("low", "high")] if with_intervals else []
    return (
        "features",
        "probe",
        *(metric.name for metric in measured),
        "source",
        "data",
        "weights",
        "classes_without_positive",
        GAIN,
        *ends,
    )


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
    return {
        "features": features,
        "probe": probe,
        **{metric.name: test[metric.name] for metric in METRICS_OF[result["task"]]},
        **{
            f"{name}_{end}": value
            for name, ends in result.get("intervals", {}).items()
            for end, value in zip(("low", "high"), ends, strict=True)
        },
        "source": "this run",
        "data": describe_data(source),
        "weights": describe_weights(source),
        "classes_without_positive": test["classes_without_positive"],
    }


def _notes(label_set: str, ours: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> list[str]:
    source, test = result["features"], result["test"]
    notes = []
    untrained = dict.fromkeys(row["features"] for row in ours if row["weights"].startswith("random"))
    if len(untrained) == len({row["features"] for row in ours}):
        notes.append("**Random weights: the model was never trained.**")
    elif untrained:
        verb = "was" if len(untrained) == 1 else "were"
        notes.append(f"**Random weights: {', '.join(untrained)} {verb} never trained.**")
    if source["simulated"]:
        notes.append("**Simulated archive: these figures show that the workflow runs, nothing else.**")
    single = result["task"] == "single"
    rule = (
        "the class that scores best is predicted"
        if single
        else (f"a class is predicted where its score is above {result['threshold']:g}")
    )
    few = result["classes_left_out"]
    return [
        *notes,
        *_of_splits(ours[0]["data"], result, rule),
        f"{test['classes_without_positive']} of the {len(result['classes'])} classes have no positive in the test"
        " split; they score 0 and count in the macro averages.",
        *([f"Left out, since too few patches have them: {named(few)}."] if few else []),
        *(
            [GAIN_NOTE.format(metric=heading_of(BEST[result["task"]]))]
            if any(row[GAIN] is not None for row in ours)
            else []
        ),
    ]


def named(counts: Mapping[str, int]) -> str:
    """Classes, each with its number."""
    return ", ".join(f"{name} ({number})" for name, number in counts.items())


def _of_splits(data: str, result: Mapping[str, Any], rule: str) -> list[str]:
    """What was tested on what, in a sentence or a few."""
    test = result["test"]
    if "folds" not in result:
        return [f"Test split of {data}: {test['patches']} patches; trained on {result['patches']['train']}; {rule}."]
    folds, by = result["folds"], result["intervals_by"]
    unseen = result["unseen_classes"]
    lines = [
        f"{data[0].upper()}{data[1:]}: {test['patches']} patches, each tested once in each of {folds['repeats']}"
        f" repeats by a probe that has seen none of its fold ({folds['folds']} folds, groups kept whole; one chooses"
        f" hyper-parameters, the others train); {rule}. Figures are means over the repeats.",
        f"In brackets: {100 * by['level']:.0f} % intervals, by {by['draws']:,} draws of the {by['clusters']} groups of"
        f" patches and of the {by['repeats']} repeats.",
    ]
    if unseen:
        classes = {result["classes"][int(number)]: times for number, times in unseen.items()}
        lines.append(f"Without a positive in the training part of some fits: {named(classes)}.")
    return lines


def _origins(results: Sequence[Result]) -> list[str]:
    """A line a feature set: what made it, so that a table says how to get its figures again."""
    sets = {features: result for features, _, result in results}
    # Not every patch has every sensor.
    differ = len({count_of(result) for result in sets.values()}) > 1
    return [
        f"{name}: {_origin(result['features'])}{f'; {count_of(result)} test patches' if differ else ''}."
        for name, result in sets.items()
    ]


def count_of(result: Mapping[str, Any]) -> int:
    """The number of test patches."""
    count: int = result["test"]["patches"]
    return count


def _origin(source: Mapping[str, Any]) -> str:
    version = f"earthprobe {source['earthprobe_version']}"
    if not source["bands"]:
        return f"{source['source'] if 'source' in source else source['kind']}, no pixels; {version}"
    return (
        f"{_model(source)}, bands {' '.join(source['bands'])}{_wavelengths(source)},"
        f" {source['precision']} on {source['device']}; {version},"
        f" torch {source['torch_version']}, torchgeo {source['torchgeo_version']}"
    )


def _model(source: Mapping[str, Any]) -> str:
    """The model's name, with its kind where that does not say it already (`galileo nano`)."""
    kind, model = source.get("kind", ""), source["model"]
    return model if model and str(kind) in model else " ".join(filter(None, (kind, model)))


def _wavelengths(source: Mapping[str, Any]) -> str:
    return f", wavelengths {' '.join(map(str, source['wavelengths']))}" if "wavelengths" in source else ""


def _figure(metric: Metric, row: Mapping[str, Any]) -> str:
    value = row.get(metric.name)
    if value in ("", None):
        return "–"
    shown = metric.show(float(str(value)))
    if f"{metric.name}_low" not in row:
        return shown
    low, high = (metric.show(row[f"{metric.name}_{end}"]) for end in ("low", "high"))
    return f"{shown} [{low}, {high}]"


STYLE = """
body { font: 14px sans-serif; margin: 1.5em; } table { border-collapse: collapse; }
th, td { padding: .25em .6em; text-align: left; border-bottom: 1px solid #ddd; }
td:nth-child(n+3):nth-last-child(n+2) { text-align: right; } tr.published { color: #666; }
"""


def _page(title: str, notes: Sequence[str], heading: Sequence[str], body: Sequence[Sequence[str]], ours: int) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)

    strong = re.compile(r"[*]{2}(.*?)[*]{2}")
    lines = ["<p>" + strong.sub(r"<strong>\1</strong>", escape(note)) + "</p>" for note in notes]
    lines += ["<table>", f"<tr>{row('th', heading)}</tr>"]
    lines += [f"<tr{'' if i < ours else ' class=published'}>{row('td', cells)}</tr>" for i, cells in enumerate(body)]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return "\n".join([f"<!doctype html><html>{head}<body><h1>{escape(title)}</h1>", *lines, "</table></body></html>\n"])
