"""table: the metrics of all feature sets and probes, with published ones below."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from earthprobe.describe import describe_data, describe_weights
from earthprobe.files import write_csv, write_text

METRICS = {
    "f2_macro": "F2 macro %",
    "f2_micro": "F2 micro %",
    "hamming_loss": "hamming loss",
    "precision_macro": "P macro %",
    "precision_micro": "P micro %",
    "f1_macro": "F1 macro %",
    "f1_micro": "F1 micro %",
    "map_macro": "mAP macro %",
    "map_micro": "mAP micro %",
}
"""Column and heading; the first five are those of the reference study, in its order."""

COLUMNS = ("features", "probe", *METRICS, "source", "data", "weights", "classes_without_positive")


def write_table(
    metrics: Sequence[tuple[str, str, Path]],
    published: Path,
    label_set: int,
    csv_output: Path,
    md_output: Path,
    html_output: Path,
) -> None:
    """Writes the table of a label set as CSV (fractions), Markdown and HTML (percent, as in the study).

    Args:
        metrics: feature set, probe and its ``metrics.json``, in the order of the rows.
        published: CSV of published results, columns ``label_set``, ``reference``, ``data``, ``features``,
            ``probe`` and the metrics; a metric that was not published is empty.
        label_set: 19 or 43.
        csv_output: the table with all columns.
        md_output: the table to read, with what one must know about it.
        html_output: the same for the report.
    """
    results = [(features, probe, json.loads(path.read_text(encoding="utf-8"))) for features, probe, path in metrics]
    ours = [_own_row(features, probe, result) for features, probe, result in results]
    with published.open(newline="", encoding="utf-8") as stream:
        theirs = [
            {**row, "source": f"published: {row['reference']}"}
            for row in csv.DictReader(stream)
            if int(row["label_set"]) == label_set
        ]
    rows = [[row.get(column, "") for column in COLUMNS] for row in (*ours, *theirs)]
    write_csv(csv_output, COLUMNS, rows)
    title = f"Classification, {label_set} classes"
    notes = [*_notes(label_set, ours, results[0][2]), *_origins(results)]
    heading = ["features", "probe", *METRICS.values(), "source"]
    body = [
        [
            f"{row['features']}, {row[aside]}",
            row["probe"],
            *(_figure(name, row[name]) for name in METRICS),
            row["source"],
        ]
        for aside, group in (("weights", ours), ("data", theirs))
        for row in group
    ]
    write_text(md_output, "\n\n".join([f"# {title}", *notes, _grid(heading, body)]) + "\n")
    write_text(html_output, _page(title, notes, heading, body, len(ours)))


def _own_row(features: str, probe: str, result: Mapping[str, Any]) -> dict[str, Any]:
    source, test = result["features"], result["test"]
    return {
        "features": features,
        "probe": probe,
        **{name: test[name] for name in METRICS},
        "source": "this run",
        "data": describe_data(source),
        "weights": describe_weights(source),
        "classes_without_positive": test["classes_without_positive"],
    }


def _notes(label_set: int, ours: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> list[str]:
    source, test = result["features"], result["test"]
    notes = []
    if any(row["weights"].startswith("random") for row in ours):
        notes.append("**Random weights: the model was never trained.**")
    if source["simulated"]:
        notes.append("**Simulated archive: these figures show that the workflow runs, nothing else.**")
    return [
        *notes,
        f"Test split of {ours[0]['data']}: {test['patches']} patches; trained on {result['patches']['train']};"
        f" a class is predicted where its score is above {result['threshold']:g}.",
        f"{test['classes_without_positive']} of the {label_set} classes have no positive in the test split;"
        " they score 0 and count in the macro averages.",
    ]


def _origins(results: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    """A line a feature set: what made it, so that a table says how to get its figures again."""
    sets = {features: result["features"] for features, _, result in results}
    return [
        f"{name}: {source['model']}, bands {' '.join(source['bands'])}, wavelengths"
        f" {' '.join(map(str, source['wavelengths']))}, {source['precision']} on {source['device']};"
        f" earthprobe {source['earthprobe_version']}, torch {source['torch_version']},"
        f" torchgeo {source['torchgeo_version']}."
        for name, source in sets.items()
    ]


def _figure(name: str, value: object) -> str:
    if value in ("", None):
        return "–"
    number = float(str(value))
    return f"{number:.3f}" if name == "hamming_loss" else f"{100 * number:.1f}"


def _grid(heading: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (heading, *body)) for i in range(len(heading))]
    numeric = range(2, 2 + len(METRICS))

    def line(cells: Sequence[str]) -> str:
        padded = [
            c.rjust(w) if i in numeric else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 1) + ":" if i in numeric else "-" * (w + 2) for i, w in enumerate(widths))
    return "\n".join([line(heading), f"|{rule}|", *(line(row) for row in body)])


STYLE = """
body { font: 14px sans-serif; margin: 1.5em; } table { border-collapse: collapse; }
th, td { padding: .25em .6em; text-align: left; border-bottom: 1px solid #ddd; }
td:nth-child(n+3):nth-child(-n+11) { text-align: right; } tr.published { color: #666; }
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
