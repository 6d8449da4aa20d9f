"""What a table has below its reference columns: thresholds, classes that occur, calibration and seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from earthprobe.evaluation.metrics import BEST, CALIBRATION, METRICS_OF, MORE_OF, Metric, heading_of
from earthprobe.evaluation.thresholds import FEWEST
from earthprobe.storage.html import Part

Result = tuple[str, str, Mapping[str, Any]]
"""A feature set, a probe, and their ``metrics.json``."""

OF_RULES = {
    f"{name}{rule}": f"{heading}, {which}"
    for name, heading in (("f2_macro", "F2 macro %"), ("f2_micro", "F2 micro %"))
    for rule, which in (("", "fixed"), ("_global", "one tuned"), ("_per_class", "one a class"))
}
RECALL = {"recall_macro": "R macro %, fixed", "recall_micro": "R micro %, fixed"}

TUNED = (
    "Fixed: a class is predicted where its score is above {threshold:g}. One tuned: above the threshold that maximises"
    " F2 macro on val. One a class: above that which maximises the class's F2 on val; a class with fewer than {fewest}"
    " positives there takes the one of all."
)
OCCURRING = (
    "Means over the {there} of {classes} classes that have a positive in test, where those above count the others as 0."
)
CALIBRATED = (
    "Brier: the mean square of score less truth. ECE: by how much scores miss the share that is true, in 15 bins, the"
    " mean over classes. Tempered: after logits are divided by the temperature that fits val best, which is above 1"
    " where scores were too sure. Less is better."
)
SEEDS = (
    "Figures above are means over seeds, and their intervals hold the chance of seeds, too. ±: the standard deviation."
)


def sections(results: Sequence[Result]) -> list[Part]:
    """The parts that a table has, of its rows."""
    task = results[0][2]["task"]
    found = [] if task == "single" else [_thresholds(results)]
    if any(result["test"]["classes_without_positive"] for _, _, result in results):
        found.append(_occurring(results))
    found.append(_calibration(results))
    several = [result for result in results if "seeds" in result[2]]
    return [*found, _seeds(several)] if several else found


def _thresholds(results: Sequence[Result]) -> Part:
    notes = [TUNED.format(threshold=results[0][2]["threshold"], fewest=FEWEST)]
    return _of_metrics("Thresholds", notes, {**OF_RULES, **RECALL}, results)


def _occurring(results: Sequence[Result]) -> Part:
    first = results[0][2]
    classes = len(first["classes"])
    there = classes - first["test"]["classes_without_positive"]
    names = [metric.name for metric in MORE_OF[first["task"]] if metric.name.endswith("_occurring")]
    headings = {name: heading_of(name).replace(", occurring", " %") for name in names}
    return _of_metrics("Classes that occur", [OCCURRING.format(there=there, classes=classes)], headings, results)


def _calibration(results: Sequence[Result]) -> Part:
    return _of_metrics(
        "Calibration",
        [CALIBRATED],
        {metric.name: metric.heading for metric in CALIBRATION},
        results,
        {"temperature": lambda result: f"{result['tuned']['temperature']:.2f}"},
    )


def _of_metrics(
    title: str,
    notes: list[str],
    headings: Mapping[str, str],
    results: Sequence[Result],
    more: Mapping[str, Callable[[Mapping[str, Any]], str]] | None = None,
) -> Part:
    """A column a metric, each with its interval."""
    known = {metric.name: metric for metric in _metrics(results)}
    more = more or {}
    body = [
        [
            features,
            probe,
            *(known[name].show_all(result["test"][name], result["intervals"][name]) for name in headings),
            *(show(result) for show in more.values()),
        ]
        for features, probe, result in results
    ]
    return Part(title, notes, ["features", "probe", *headings.values(), *more], body)


def _seeds(results: Sequence[Result]) -> Part:
    task = results[0][2]["task"]
    measured = METRICS_OF[task]
    body = [
        [features, probe, str(result["seeds"]["count"]), *(_spread(metric, result) for metric in measured)]
        for features, probe, result in results
    ]
    best = next(metric for metric in measured if metric.name == BEST[task])
    ranges = [_range(best, *result) for result in results]
    notes = [SEEDS, f"{heading_of(BEST[task])} of single seeds: {'; '.join(ranges)}."]
    return Part("Seeds", notes, ["features", "probe", "seeds", *(metric.heading for metric in measured)], body)


def _spread(metric: Metric, result: Mapping[str, Any]) -> str:
    return f"{metric.show(result['test'][metric.name])} ± {metric.show(result['seeds']['deviation'][metric.name])}"


def _range(metric: Metric, features: str, probe: str, result: Mapping[str, Any]) -> str:
    values = [one[metric.name] for one in result["seeds"]["each"]]
    return f"{features}/{probe} {metric.show(min(values))} to {metric.show(max(values))}"


def _metrics(results: Sequence[Result]) -> Sequence[Metric]:
    task = results[0][2]["task"]
    return (*METRICS_OF[task], *MORE_OF[task])
