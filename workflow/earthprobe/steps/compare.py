"""Compare the rows of a table: differences on the same draws, and which are no worse than the best."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from earthprobe.errors import UserError
from earthprobe.evaluation.clusters import COLUMNS as CLUSTERED_BY
from earthprobe.evaluation.clusters import PLURAL, clusters
from earthprobe.evaluation.comparison import LEVEL, Difference, Figure, difference, holm
from earthprobe.evaluation.intervals import evaluated
from earthprobe.evaluation.metrics import BEST, METRICS_OF, heading_of, overall
from earthprobe.storage.files import write_csv, write_text
from earthprobe.storage.markdown import grid
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.scores import Test, of_test, read_scores

COLUMNS = ("row", "other", "metric", "difference", "low", "high", "p", "p_holm", "told_apart", "patches", "clusters")


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        name: feature set and probe, such as dofa/linear.
        result: its ``metrics.json``.
        scores: its ``scores.parquet``.
        drawn: the metrics of its draws.
        said: what the metadata of that file say.
    """

    name: str
    result: Mapping[str, Any]
    scores: Path
    drawn: Path
    said: Mapping[str, Any]


def run(
    *,
    rows: Sequence[str],
    metrics: Sequence[Path],
    scores: Sequence[Path],
    drawn: Sequence[Path],
    index: Path,
    pairs: str,
    csv: Path,
    md: Path,
) -> None:
    """Writes the differences between rows of a table.

    Args:
        rows: their names, such as dofa/linear; the other files are in the same order.
        metrics: their ``metrics.json``.
        scores: their scores, of which those are drawn anew whose test patches are not the same.
        drawn: the metrics of their draws.
        index: ``index.parquet``, for the clusters of patches that two rows have in common.
        pairs: JSON: ``"best"`` compares the best row with all others, ``"all"`` all with all, or a list of pairs.
        csv: a line a pair and metric, fractions.
        md: the pairs by the metric that feature sets are compared by, in points.

    Raises:
        UserError: a pair names no row, or two rows have no test patch in common.
    """
    table = {
        name: Row(name, json.loads(path.read_text(encoding="utf-8")), scored, draws, read_metadata(draws))
        for name, path, scored, draws in zip(rows, metrics, scores, drawn, strict=True)
    }
    known = [name for name, row in table.items() if row.result.get("control", {}).get("known", True)]
    task = next(iter(table.values())).result["task"]
    models = [name for name in known if "control" not in table[name].result]
    best = max(models, key=lambda name: table[name].result["test"][BEST[task]])
    chosen = _chosen(json.loads(pairs), known, best)
    found = [_compared(table[one], table[other], index) for one, other in chosen]
    lines = []
    for metric in METRICS_OF[task]:
        adjusted = holm([pair.differences[metric.name].p for pair in found])
        for (one, other), pair, p_holm in zip(chosen, found, adjusted, strict=True):
            here = pair.differences[metric.name]
            apart = int(p_holm < LEVEL)
            line = (one, other, metric.name, here.value, *here.interval, here.p, p_holm, apart)
            lines.append((*line, pair.patches, pair.clusters))
    write_csv(csv, COLUMNS, lines)
    write_text(md, _page(lines, table[best].result, task))


class Compared(NamedTuple):
    """Two rows beside each other.

    Attributes:
        differences: of each metric.
        patches: that both have scored.
        clusters: of these patches.
    """

    differences: Mapping[str, Difference]
    patches: int
    clusters: int


def _chosen(pairs: Any, known: Sequence[str], best: str) -> list[tuple[str, str]]:
    if pairs == "best":
        return [(best, name) for name in known if name != best]
    if pairs == "all":
        return list(combinations([best, *(name for name in known if name != best)], 2))
    for name in (name for pair in pairs for name in pair):
        if name not in known:
            raise UserError(f"config: compare: there is no row {name}: there are {', '.join(known)}")
    return [(one, other) for one, other in pairs]


def _compared(one: Row, other: Row, index: Path) -> Compared:
    if one.said["test"] == other.said["test"]:
        figures = [_figures(row) for row in (one, other)]
        patches, count = one.result["test"]["patches"], one.said["clusters"]
    else:
        figures, patches, count = _in_common(one, other, index)
    found = {name: difference(figures[0][name], figures[1][name]) for name in figures[0]}
    return Compared(found, patches, count)


@lru_cache(maxsize=256)
def _draws(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path)


def _figures(row: Row) -> dict[str, Figure]:
    draws, left_out = _draws(row.drawn), row.said["left_out"]
    return {
        name: Figure(
            row.result["test"][name],
            draws[name].to_numpy(),
            pl.Series(left_out[name]).to_numpy() if name in left_out else None,
        )
        for name in draws.columns
    }


@lru_cache(maxsize=4)
def _test(path: Path) -> Test:
    return of_test(read_scores(path))


def _in_common(one: Row, other: Row, index: Path) -> tuple[list[dict[str, Figure]], int, int]:
    """The figures of two rows on the test patches that both have scored."""
    tests = [_test(row.scores) for row in (one, other)]
    common = sorted(set(tests[0].ids) & set(tests[1].ids))
    if not common:
        raise UserError(f"{one.name} and {other.name} have no test patch in common: compare others (config: compare)")
    columns = [name for name in pl.read_parquet_schema(index) if name in CLUSTERED_BY]
    here = pl.DataFrame({"patch_id": common}).join(
        pl.read_parquet(index, columns=columns), on="patch_id", how="left", maintain_order="left"
    )
    said, result = one.said, one.result
    names = clusters(here, said["cluster"]).names
    figures = []
    for test in tests:
        place = {patch_id: row for row, patch_id in enumerate(test.ids)}
        rows = [place[patch_id] for patch_id in common]
        targets, scores = test.targets[rows], test.scores[:, rows]
        sure = evaluated(targets, scores, names, result["threshold"], said["task"], said["draws"], said["seed"])
        each = [overall(targets, scored, result["threshold"], said["task"]) for scored in scores]
        figures.append(
            {
                name: Figure(sum(one[name] for one in each) / len(each), draws, sure.left_out.get(name))
                for name, draws in sure.draws.items()
            }
        )
    return figures, len(common), len(set(names))


def _page(lines: Sequence[tuple[Any, ...]], result: Mapping[str, Any], task: str) -> str:
    by = result["intervals_by"]
    metric = heading_of(BEST[task])
    count = sum(line[2] == BEST[task] for line in lines)
    notes = [
        f"Differences in {metric}, in points, with {100 * by['level']:.0f} % intervals: both rows on the same"
        f" {by['draws']:,} draws of {PLURAL[by['cluster']]}. p: how likely a difference so large is where there is"
        f" none; p (Holm) holds for all {count} comparisons together, and below {LEVEL:g} two rows are told apart.",
        "Where rows have scored different patches, those are compared that both have.",
    ]
    shown = [
        (
            line[0],
            line[1],
            f"{100 * line[3]:+.1f}",
            f"[{100 * line[4]:+.1f}, {100 * line[5]:+.1f}]",
            f"{line[6]:.3f}",
            f"{line[7]:.3f}",
            "yes" if line[8] else "no",
            f"{line[9]:,}",
        )
        for line in lines
        if line[2] == BEST[task]
    ]
    heading = ["row", "against", "difference", "95 % interval", "p", "p (Holm)", "told apart", "patches"]
    title = f"# Comparisons, {len(result['classes'])} classes"
    return "\n\n".join([title, *notes, grid(heading, shown, range(2, 8))]) + "\n"
