"""table: the metrics of all feature sets and probes, with published ones below."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
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
) -> None:
    """Writes the table of a label set as CSV (fractions) and Markdown (percent, as in the study).

    Args:
        metrics: feature set, probe and its ``metrics.json``, in the order of the rows.
        published: CSV of published results, columns ``label_set``, ``reference``, ``data``, ``features``,
            ``probe`` and the metrics; a metric that was not published is empty.
        label_set: 19 or 43.
        csv_output: the table with all columns.
        md_output: the table to read, with what one must know about it.
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
    write_text(md_output, _markdown(label_set, ours, theirs, [result for _, _, result in results]))


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


def _markdown(
    label_set: int, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], results: list[dict[str, Any]]
) -> str:
    first = results[0]
    source, test = first["features"], first["test"]
    notes = [
        f"Test split of {ours[0]['data']}: {test['patches']} patches; trained on {first['patches']['train']};"
        f" a class is predicted where its score is above {first['threshold']:g}.",
        f"{test['classes_without_positive']} of the {label_set} classes have no positive in the test split;"
        " they score 0 and count in the macro averages.",
    ]
    if source["simulated"]:
        notes.insert(0, "**Simulated archive: these figures show that the workflow runs, nothing else.**")
    if any(row["weights"].startswith("random") for row in ours):
        notes.insert(0, "**Random weights: the model was never trained.**")
    heading = ["features", "probe", *METRICS.values(), "source"]
    body = [
        [row["features"], row["probe"], *(_figure(name, row[name]) for name in METRICS), row["source"]]
        for row in (*_with_weights(ours), *_with_data(theirs))
    ]
    return f"# Classification, {label_set} classes\n\n" + "\n\n".join([*notes, _grid(heading, body)]) + "\n"


def _with_weights(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "features": f"{row['features']}, {row['weights']}"} for row in rows]


def _with_data(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "features": f"{row['features']}, {row['data']}"} for row in rows]


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
