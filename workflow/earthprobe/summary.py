"""What a table says, in five sentences: the best, what it gains, what needs no pixel, what is not told apart, of what.

Each begins with its subject in bold, as Markdown has it. All is read from the rows of a table and from their
comparisons; nothing is computed anew but differences of rows that were not compared, which have no interval.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from earthprobe.describe import describe_data, describe_weights, is_random
from earthprobe.evaluation.clusters import PLURAL
from earthprobe.evaluation.metrics import BEST, METRICS_OF, heading_of

PIXELS = ("statistics", "rcf")
"""The kinds of model that tell what the pixels alone know."""

PERMUTED = "permuted"
"""The control that sees pixels, but no true label."""

NAMED = 5
"""Rows up to which all are named."""

Lines = Mapping[tuple[str, str], Mapping[str, str]]
"""The lines of a comparison, by the names of the two rows."""


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        name: feature set and probe, such as dofa/linear.
        probe: its probe.
        result: its ``metrics.json``.
    """

    name: str
    probe: str
    result: Mapping[str, Any]

    @property
    def score(self) -> float:
        """The metric by which feature sets are compared."""
        return float(self.result["test"][BEST[self.result["task"]]])

    @property
    def features(self) -> Mapping[str, Any]:
        """The metadata of its embeddings."""
        found: Mapping[str, Any] = self.result["features"]
        return found

    @property
    def is_random(self) -> bool:
        """Whether its weights were never trained."""
        return is_random(describe_weights(self.features))

    def show(self) -> str:
        """The score with its interval, in percent."""
        task = self.result["task"]
        metric = next(metric for metric in METRICS_OF[task] if metric.name == BEST[task])
        low, high = map(metric.show, self.result["intervals"][metric.name])
        return f"{metric.show(self.score)} % [{low}, {high}]"


def summary(
    rows: Sequence[tuple[str, str]], results: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, str]]
) -> list[str]:
    """Five sentences on a table.

    Args:
        rows: feature set and probe of each row; controls are of the feature set ``control``.
        results: the ``metrics.json`` of each.
        compared: the lines of the CSV of their comparisons.
    """
    table = [Row("/".join(row), row[1], result) for row, result in zip(rows, results, strict=True)]
    table = [row for row in table if row.result.get("control", {}).get("known", True)]
    controls = [row for row in table if "control" in row.result]
    models = [row for row in table if "control" not in row.result]
    best = max(models, key=lambda row: row.score)
    metric = BEST[best.result["task"]]
    pairs = {(line["row"], line["other"]): line for line in compared if line["metric"] == metric}
    return [
        _best(best, len(models)),
        _gains(best, models, pairs),
        _without_pixels(best, controls, pairs),
        _alike(best, [row.name for row in table], pairs),
        _origin(best, models),
    ]


def _best(best: Row, count: int) -> str:
    result = best.result
    of = f"the highest of {count} rows on test" if count > 1 else "the only row"
    return (
        f"**Best:** {best.name}, {of}, has {heading_of(BEST[result['task']])} {best.show()} on"
        f" {result['test']['patches']:,} test patches, {len(result['classes'])} classes."
    )


def _gains(best: Row, models: Sequence[Row], pairs: Lines) -> str:
    """By how much it is better than the pixels themselves, and than the same model without what it has learnt."""
    alike = [row for row in models if row is not best and row.probe == best.probe and _bands(row) == _bands(best) != []]
    pixels = [row for row in alike if row.features.get("kind") in PIXELS]
    twins = [row for row in alike if row.is_random and _model(row) == _model(best)]
    if not _bands(best):
        over = "the best sees none"
    elif best.features.get("kind") in PIXELS:
        over = "the best is made of them alone"
    elif pixels:
        over = _against(best, max(pixels, key=lambda row: row.score), pairs)
    else:
        over = "no row is made of the same pixels alone"
    if best.is_random:
        more = "the best has such itself"
    elif twins:
        more = _against(best, max(twins, key=lambda row: row.score), pairs)
    else:
        more = "no such row of its model"
    return f"**Gain** over the pixels: {over}; over random weights: {more}."


def _without_pixels(best: Row, controls: Sequence[Row], pairs: Lines) -> str:
    blind = [row for row in controls if row.probe != PERMUTED]
    if not blind:
        return "**Without a pixel** no control was run that says what place, season and neighbours tell."
    most = max(blind, key=lambda row: row.score)
    return f"**Without a pixel** {most.name} has {most.show()}: the best has {_less(best, most, pairs)}."


def _against(best: Row, other: Row, pairs: Lines) -> str:
    return f"{_less(best, other, pairs)} against {other.name}"


def _less(best: Row, other: Row, pairs: Lines) -> str:
    """The difference between two rows, and whether they are told apart."""
    if (best.name, other.name) in pairs:
        line, sign = pairs[best.name, other.name], 1
    elif (other.name, best.name) in pairs:
        line, sign = pairs[other.name, best.name], -1
    else:
        return f"{100 * (best.score - other.score):+.1f} points (not compared)"
    value, *ends = (100 * sign * float(line[name]) for name in ("difference", "low", "high"))
    apart = "told apart" if line["told_apart"] == "1" else "not told apart"
    # The interval is of this pair alone, so that it may leave out 0 where Holm's p over all pairs tells nothing apart.
    return f"{value:+.1f} points [{min(ends):+.1f}, {max(ends):+.1f}] ({apart}, Holm's p {float(line['p_holm']):.2g})"


def _alike(best: Row, names: Sequence[str], pairs: Lines) -> str:
    """Which rows cannot be told apart from the best one."""
    others = {
        one if other == best.name else other: line["told_apart"] == "1"
        for (one, other), line in pairs.items()
        if best.name in (one, other)
    }
    if not others:
        return "**Not told apart:** the best was compared with no other row."
    alike = [name for name in others if not others[name]]
    beside = "all others" if len(others) == len(names) - 1 else f"the {len(others)} rows that it was compared with"
    found = _listed(alike) if alike else "none"
    return f"**Not told apart** from the best, of {beside} (5 %, Holm over {len(pairs)} comparisons): {found}."


def _origin(best: Row, models: Sequence[Row]) -> str:
    result = best.result
    by = result["intervals_by"]
    data = describe_data(best.features)
    random = list(dict.fromkeys(row.name.removesuffix(f"/{row.probe}") for row in models if row.is_random))
    everywhere = len(random) == len({row.name.removesuffix(f"/{row.probe}") for row in models})
    lines = [
        f"**Of** the {data}; {100 * by['level']:.0f} % intervals by {by['draws']:,} draws of the {by['clusters']:,}"
        f" {PLURAL[by['cluster']]} of the test patches."
    ]
    if random:
        lines.append(f"**Random weights{'' if everywhere else f' in {_listed(random)}'}: never trained.**")
    if best.features["simulated"]:
        lines.append("**Simulated: these figures show that the workflow runs, nothing else.**")
    return " ".join(lines)


def _listed(names: Sequence[str]) -> str:
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} more"


def _bands(row: Row) -> list[str]:
    return sorted(row.features.get("bands") or [])


def _model(row: Row) -> tuple[Any, Any]:
    return row.features.get("kind"), row.features.get("model")
