"""Compare the feature sets of an entry in which options vary."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.clusters import PLURAL
from earthprobe.evaluation.metrics import BEST, METRICS_OF, heading_of
from earthprobe.storage.files import read_json, write_csv, write_text
from earthprobe.storage.markdown import grid


def run(
    *,
    metrics: Sequence[Path],
    features: Sequence[str],
    probes: Sequence[str],
    values: str,
    label_set: str,
    csv: Path,
    md: Path,
) -> None:
    """Writes a row for each combination and probe, as CSV (fractions) and Markdown (percent).

    Args:
        metrics: a ``metrics.json`` a row, in their order.
        features: the feature set of each.
        probes: the probe of each.
        values: JSON of the feature sets' values of what varies, by their names.
        label_set: the label set's name.
        csv: the table.
        md: the table to read.
    """
    chosen: Mapping[str, Mapping[str, Any]] = json.loads(values)
    options = list(next(iter(chosen.values())))
    results = [read_json(path) for path in metrics]
    task = results[0]["task"]
    measured, best = METRICS_OF[task], BEST[task]
    first: dict[str, float] = {}
    rows, ends = [], []
    for name, probe, result in zip(features, probes, results, strict=True):
        score = result["test"][best]
        shown = [_text(chosen[name][option]) for option in options]
        figures = [result["test"][metric.name] for metric in measured]
        rows.append((name, *shown, probe, *figures, score - first.setdefault(probe, score)))
        ends.append([end for metric in measured for end in result["intervals"][metric.name]])
    origins = [(describe_data(result["features"]), describe_weights(result["features"])) for result in results]
    # What a cheaper setting costs: less the score of the first feature set with the same probe.
    loss = f"{best}_less_the_first"
    columns = ("features", *options, "probe", *(metric.name for metric in measured), loss, "data", "weights")
    columns += tuple(f"{metric.name}_{end}" for metric in measured for end in ("low", "high"))
    write_csv(csv, columns, [(*row, *origin, *sure) for row, origin, sure in zip(rows, origins, ends, strict=True)])
    heading = [*options, "probe", *(metric.heading for metric in measured), f"{heading_of(best)} less the first"]
    body = [
        [
            *row[1 : len(options) + 2],
            *(
                metric.show_all(value, sure[2 * i : 2 * i + 2])
                for i, (metric, value) in enumerate(zip(measured, row[len(options) + 2 : -1], strict=True))
            ),
            f"{100 * row[-1]:+.1f}",
        ]
        for row, sure in zip(rows, ends, strict=True)
    ]
    title = f"# Ablation of {', '.join(options)}, {len(results[0]['classes'])} classes"
    simulated = "**Simulated archive: these figures show that the workflow runs, nothing else.**"
    notes = [simulated] if results[0]["features"]["simulated"] else []
    data, weights = (", ".join(dict.fromkeys(said)) for said in zip(*origins, strict=True))
    patches = " or ".join(f"{count:,}" for count in sorted({result["test"]["patches"] for result in results}))
    notes.append(f"{data}, {weights}; test split of {patches} patches.")
    by = results[0]["intervals_by"]
    notes.append(
        f"In brackets: {100 * by['level']:.0f} % intervals, by {by['draws']:,} draws of {by['clusters']}"
        f" {PLURAL[by['cluster']]}."
    )
    numeric = range(len(options) + 1, len(heading))
    write_text(md, "\n\n".join([title, *notes, grid(heading, body, numeric)]) + "\n")


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
