"""Gather the metrics of all feature sets and probes into the table of a label set, published ones below."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from earthprobe.describe import describe_data, describe_origin, describe_weights, summed_bands
from earthprobe.evaluation.clusters import PLURAL
from earthprobe.evaluation.metrics import BEST, METRICS_OF, Metric, heading_of
from earthprobe.storage.files import read_csv, write_csv, write_text
from earthprobe.storage.html import page
from earthprobe.storage.markdown import grid

GAIN = "gain_over_pixels"
"""A feature set's mAP macro less that of the best control with the same bands and probe."""

CONTROLS = ("statistics", "rcf")
"""The kinds of model that tell what the pixels alone know."""

GAIN_HEADING = "gain over pixels"
GAIN_NOTE = (
    "Gain over pixels: {metric} less that of the best of statistics and rcf with the same bands and probe, in points."
)

TIED = "tied_with_best"
"""Whether a row cannot be told apart from the best one."""

SUMMED = "{name}: {bands} have one wavelength, so that DOFA sees their sum alone, and no difference (docs/models.md)."

MARK = "°"
TIED_NOTE = (
    "°: the best row by {metric}, {best}, and those that cannot be told apart from it (5 %, Holm over all comparisons)."
)

STYLE = "td:nth-child(n+3):nth-last-child(n+2) { text-align: right; } tr.published { color: #666; }"

Result = tuple[str, str, Mapping[str, Any]]
"""A feature set, a probe, and their ``metrics.json``."""


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
    columns = columns_of(measured)
    write_csv(csv, columns, [[row.get(column, "") for column in columns] for row in (*ours, *theirs)])
    title = f"Classification, {label_set if label_set.isdigit() else len(results[0][2]['classes'])} classes"
    models = [row for row, result in zip(ours, results, strict=True) if "control" not in result[2]] or ours
    notes = [
        *_notes(models, results[0][2]),
        *([TIED_NOTE.format(metric=heading_of(BEST[task]), best=tied[0])] if tied else []),
        *_origins([result for result in results if "control" not in result[2]]),
        *_limits(results),
    ]
    below = [f"Control {probe}: {result['control']['says']}." for _, probe, result in controls]
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
            ", ".join(filter(None, (row["features"], row[aside]))),
            row["probe"],
            *(_figure(metric, row, BEST[task]) for metric in measured),
            *(["–" if row.get(GAIN) is None else f"{100 * row[GAIN]:+.1f}"] if gains else []),
            row["source"],
        ]
        for aside, group in (("weights", ours), ("data", theirs))
        for row in group
    ]
    write_text(md, "\n\n".join([f"# {title}", *notes, grid(heading, body, range(2, len(heading) - 1)), *below]) + "\n")
    marked = [("" if number < len(ours) else "published", row) for number, row in enumerate(body)]
    write_text(html, page(title, notes, heading, marked, STYLE, below))


def columns_of(measured: Sequence[Metric]) -> tuple[str, ...]:
    """The columns of a table: those of the reference study first, then intervals by clusters, and by patches."""
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
    return {
        "features": features,
        "probe": probe,
        **{metric.name: test[metric.name] for metric in METRICS_OF[result["task"]]},
        **{
            f"{name}{kind}_{end}": value
            for kind, key in (("", "intervals"), ("_patch", "patch_intervals"))
            for name, ends in result[key].items()
            for end, value in zip(("low", "high"), ends, strict=True)
        },
        "limits": "; ".join(result.get("limits", [])),
        "clusters": result["intervals_by"]["clusters"],
        "cluster": result["intervals_by"]["cluster"],
        "source": "this run",
        "data": describe_data(source),
        "weights": "" if "control" in result else describe_weights(source),
        "classes_without_positive": test["classes_without_positive"],
    }


def _notes(ours: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> list[str]:
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
    test, by = result["test"], result["intervals_by"]
    drawn = f"{by['draws']:,} draws of the {by['clusters']} {PLURAL[by['cluster']]} of the test patches"
    level = f"In brackets: {100 * by['level']:.0f} % intervals, by {drawn}"
    if "folds" not in result:
        return [
            f"Test split of {data}: {test['patches']} patches; trained on {result['patches']['train']}; {rule}.",
            f"{level}; the CSV has those by patches beside them, which are too sure where patches are alike.",
        ]
    folds = result["folds"]
    unseen = result["unseen_classes"]
    lines = [
        f"{data[0].upper()}{data[1:]}: {test['patches']} patches, each tested once in each of {folds['repeats']}"
        f" repeats by a probe that has seen none of its fold ({folds['folds']} folds, groups kept whole; one chooses"
        f" hyper-parameters, the others train); {rule}. Figures are means over the repeats.",
        f"{level} and of the {by['repeats']} repeats.",
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
    lines = []
    for name, result in sets.items():
        lines.append(
            f"{name}: {describe_origin(result['features'])}{f'; {count_of(result)} test patches' if differ else ''}."
        )
        lines += [SUMMED.format(name=name, bands=" and ".join(bands)) for bands in summed_bands(result["features"])]
    return lines


def _limits(results: Sequence[Result]) -> list[str]:
    """Which probes took the end of a grid or were stopped: more may be in them."""
    rows: dict[str, list[str]] = {}
    for features, probe, result in results:
        for limit in result.get("limits", []):
            rows.setdefault(limit, []).append(f"{features}/{probe}")
    return [f"At a limit: {', '.join(names)} {limit}." for limit, names in rows.items()]


def count_of(result: Mapping[str, Any]) -> int:
    """The number of test patches."""
    count: int = result["test"]["patches"]
    return count


def _figure(metric: Metric, row: Mapping[str, Any], best: str) -> str:
    value = row.get(metric.name)
    if value in ("", None):
        return "–"
    if f"{metric.name}_low" not in row:
        return metric.show_published(str(value))
    mark = MARK if metric.name == best and row.get(TIED) == 1 else ""
    return metric.show_all(float(value), [row[f"{metric.name}_{end}"] for end in ("low", "high")], mark)
