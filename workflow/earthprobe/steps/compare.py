"""Compare the rows of a table: differences on the same draws, and which are no worse than the best."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, combinations
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from earthprobe.errors import UserError
from earthprobe.evaluation.clusters import COLUMNS as CLUSTERED_BY
from earthprobe.evaluation.clusters import PLURAL, clusters
from earthprobe.evaluation.comparison import LEVEL, Difference, Figure, difference, holm
from earthprobe.evaluation.intervals import evaluated
from earthprobe.evaluation.metrics import BEST, METRICS_OF, MORE_OF, heading_of
from earthprobe.evaluation.runs import Runs, runs_of
from earthprobe.storage.files import read_json, write_csv, write_text
from earthprobe.storage.markdown import grid
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.scores import of_test, read_scores

COLUMNS = ("row", "other", "metric", "difference", "low", "high", "p", "p_holm", "told_apart", "patches", "clusters")


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        name: feature set and probe, such as dofa/linear.
        result: its ``metrics.json``.
        scores: its ``scores.parquet``, of each seed.
        drawn: the metrics of its draws.
        said: what the metadata of that file say.
    """

    name: str
    result: Mapping[str, Any]
    scores: Sequence[Path]
    drawn: Path
    said: Mapping[str, Any]


def run(
    *,
    rows: Sequence[str],
    metrics: Sequence[Path],
    scores: Sequence[Path],
    drawn: Sequence[Path],
    files: Sequence[int] | None = None,
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
        files: how many files of scores each row has, one a seed; None is one each.
        index: ``index.parquet``, for the clusters of patches that two rows have in common.
        pairs: JSON: ``"best"`` compares the best row with all others, ``"all"`` all with all, or a list of pairs.
        csv: a line a pair and metric, fractions.
        md: the pairs by the metric that feature sets are compared by, in points.

    Raises:
        UserError: a pair names no row, or two rows have no test patches in common, or those of one cluster alone.
    """
    starts = [0, *accumulate(files or [1] * len(rows))]
    table = {
        name: Row(name, read_json(path), scores[start:end], draws, read_metadata(draws))
        for name, path, start, end, draws in zip(rows, metrics, starts, starts[1:], drawn, strict=False)
    }
    known = [name for name, row in table.items() if row.result.get("control", {}).get("known", True)]
    task = next(iter(table.values())).result["task"]
    models = [name for name in known if "control" not in table[name].result]
    best = max(models, key=lambda name: table[name].result["test"][BEST[task]])
    chosen = _chosen(json.loads(pairs), known, best)
    found = [_compared(table[one], table[other], index) for one, other in chosen]
    lines = []
    for metric in (*METRICS_OF[task], *MORE_OF[task]):
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
def _runs(paths: tuple[Path, ...], threshold: float, task: str) -> Runs:
    return runs_of([of_test(read_scores(path)) for path in paths], threshold, task)


def _in_common(one: Row, other: Row, index: Path) -> tuple[list[dict[str, Figure]], int, int]:
    """The figures of two rows on the test patches that both have scored."""
    said, result = one.said, one.result
    tests = [_runs(tuple(row.scores), result["threshold"], said["task"]) for row in (one, other)]
    common = sorted(set(tests[0].ids) & set(tests[1].ids))
    if not common:
        raise UserError(f"{one.name} and {other.name} have no test patch in common: compare others (config: compare)")
    columns = [name for name in pl.read_parquet_schema(index) if name in CLUSTERED_BY]
    here = pl.DataFrame({"patch_id": common}).join(
        pl.read_parquet(index, columns=columns), on="patch_id", how="left", maintain_order="left"
    )
    names = clusters(here, said["cluster"]).names
    if said["cluster"] != "patch" and len(set(names)) == 1:
        raise UserError(
            f"{one.name} and {other.name} have test patches of one {said['cluster']} alone in common, {names[0]}, which"
            " says nothing of how sure a difference is: compare others (config: compare)"
        )
    figures = []
    for test in tests:
        place = {patch_id: row for row, patch_id in enumerate(test.ids)}
        rows = [place[patch_id] for patch_id in common]
        runs = [[run.of(rows) for run in repeats] for repeats in test.runs]
        sure = evaluated(test.targets[rows], runs, names, said["task"], said["draws"], said["seed"])
        figures.append(
            {name: Figure(sure.values[name], draws, sure.left_out.get(name)) for name, draws in sure.draws.items()}
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
