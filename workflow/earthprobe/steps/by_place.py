"""Score the rows of a table country by country, tile by tile, and by the distance to train."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from threadpoolctl import threadpool_limits

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.best import best_on_val
from earthprobe.evaluation.clusters import COLUMNS as CLUSTERED_BY
from earthprobe.evaluation.clusters import FEWEST, PLURAL, Clusters, clusters
from earthprobe.evaluation.intervals import DRAWS, LEVEL
from earthprobe.evaluation.metrics import BEST, METRICS_OF, MORE_OF, OF_FEW, Metric
from earthprobe.evaluation.places import EDGES, Scored, bins_of, scored
from earthprobe.storage.files import read_json, write_csv, write_text
from earthprobe.storage.markdown import grid
from earthprobe.storage.scores import Test, of_test, read_scores

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

PLACED = ("country", "longitude", "latitude")
HELD_AGAINST = ("control/neighbours", "control/prior")
"""Controls that stand beside the best rows where not all can."""

NOTE = (
    "The probe of each feature set that val likes best by {best}, and what no pixel was needed for; the CSV has all"
    " rows. In brackets:"
    " {level:.0f} % intervals, by {draws:,} draws of the patches of a country that are not independent ({kinds}); fewer"
    " than {fewest} patches have none. Micro averages are of the patches and classes of one country, not all equally"
    " hard: compare rows within a country first."
)


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        name: feature set and probe, such as dofa/linear.
        result: its ``metrics.json``.
        tests: of each seed, its test patches.
        best: whether val likes no other probe of its feature set better.
    """

    name: str
    result: Mapping[str, Any]
    tests: Sequence[Test]
    best: bool


class Drawing(NamedTuple):
    """What intervals draw, how often, and from which seed on."""

    cluster: str
    draws: int
    seed: int


def run(
    *,
    rows: Sequence[str],
    metrics: Sequence[Path],
    scores: Sequence[Path],
    files: Sequence[int] | None = None,
    distances: Path,
    index: Path,
    cluster: str = "auto",
    draws: int = DRAWS,
    seed: int = 0,
    by_country: Path,
    by_country_md: Path,
    by_tile: Path,
    by_distance: Path,
) -> None:
    """Writes the scores of each row in each country, in each tile, and of test patches as far from train as each other.

    Args:
        rows: names of the table's rows, such as dofa/linear; the other files are in the same order.
        metrics: their ``metrics.json``.
        scores: their scores.
        files: how many files of scores each row has, one a seed; None is one each.
        distances: ``distance_to_train.parquet``.
        index: ``index.parquet``, for countries, tiles and which patches are not independent.
        cluster: what intervals draw: ``tile``, ``block``, ``scene``, ``patch``, or ``auto``; of a tile it is patches.
        draws: how often.
        seed: of the draws.
        by_country: CSV, a line a country and row; none where the archive knows no country.
        by_country_md: the best rows to read.
        by_tile: CSV, a line a tile (or group) and row, with the middle of its test patches.
        by_distance: CSV, a line a range of distances and row; of folds each patch counts once a repeat.
    """
    columns = [name for name in pl.read_parquet_schema(index) if name in (*CLUSTERED_BY, *PLACED)]
    known, far = pl.read_parquet(index, columns=columns), pl.read_parquet(distances)
    drawing = Drawing(cluster, draws, seed)
    lines: dict[str, list[list[Any]]] = {"country": [], "tile": [], "distance": []}
    results = [read_json(path) for path in metrics]
    task = results[0]["task"]
    # Products of small matrices, of which each would wait for threads.
    with threadpool_limits(1, user_api="blas"):
        for row in _rows(rows, results, scores, files):
            ids = pl.DataFrame({"patch_id": row.tests[0].ids})
            here = ids.join(known, on="patch_id", how="left", maintain_order="left")
            said = [*row.name.split("/", 1), int(row.best)]
            lines["country"] += [[name, *said, *line] for name, line in _by_country(row, here, drawing)]
            lines["tile"] += [[*place, *said, *line] for place, line in _by_tile(row, here, drawing)]
            lines["distance"] += [[*ends, *said, *line] for ends, line in _by_distance(row, here, far, drawing)]
    more = ("features", "probe", "best", *_columns(task))
    write_csv(by_country, ("country", *more), lines["country"])
    write_csv(by_tile, ("tile", "longitude", "latitude", *more), lines["tile"])
    write_csv(by_distance, ("km_from", "km_to", "km_median", "share", *more), lines["distance"])
    write_text(by_country_md, _page(lines["country"], ("country", *more), results[0], drawing))


def _rows(
    names: Sequence[str], results: Sequence[Mapping[str, Any]], scores: Sequence[Path], files: Sequence[int] | None
) -> Iterator[Row]:
    """The rows one after the other, so that the scores of one are in memory."""
    starts = [0, *accumulate(files or [1] * len(names))]
    features = [name.split("/", 1)[0] for name in names]
    probed = [number for number, name in enumerate(features) if name != "control"]
    chosen = best_on_val([features[number] for number in probed], [results[number] for number in probed])
    best = {probed[number] for number in chosen}
    for number, (name, result) in enumerate(zip(names, results, strict=True)):
        if not result.get("control", {}).get("known", True):
            continue
        tests = [of_test(read_scores(path)) for path in scores[starts[number] : starts[number + 1]]]
        yield Row(name, result, tests, number in best)


def _columns(task: str) -> tuple[str, ...]:
    measured = [f"{name}{end}" for name in OF_FEW[task] for end in ("", "_low", "_high")]
    return ("patches", "positives", "classes", *measured, "clusters", "cluster", "data", "weights")


def _line(row: Row, found: Scored) -> list[Any]:
    """The columns of :func:`_columns`."""
    nothing = ("", "")
    figures = [end for name, value in found.values.items() for end in (value, *found.intervals.get(name, nothing))]
    source = row.result["features"]
    weights = "" if "control" in row.result else describe_weights(source)
    drawn = (found.clusters, found.kind) if found.intervals else nothing
    return [found.patches, found.positives, found.classes, *figures, *drawn, describe_data(source), weights]


def _scored(row: Row, rows: Numbers, repeats: Numbers | None, names: Clusters, drawing: Drawing) -> Scored:
    """The metrics of some of the test patches, or of pairs of a repeat and a patch."""
    runs: list[list[Floats]] = [
        [scores[rows] for scores in test.scores] if repeats is None else [test.scores[repeats, rows]]
        for test in row.tests
    ]
    targets, result = row.tests[0].targets[rows], row.result
    return scored(targets, runs, names, result["threshold"], result["task"], drawing.draws, drawing.seed)


def _places(keys: pl.Series) -> Iterator[tuple[str, Numbers]]:
    """The rows of each place, in the order of their names; those of no place are left out."""
    frame = pl.DataFrame({"key": keys}).with_row_index("row").drop_nulls()
    for (key,), part in frame.group_by("key", maintain_order=True):
        yield str(key), part["row"].to_numpy().astype(np.int64)


def _by_country(row: Row, here: pl.DataFrame, drawing: Drawing) -> Iterator[tuple[str, list[Any]]]:
    for name, rows in sorted(_places(here["country"])):
        yield name, _line(row, _scored(row, rows, None, clusters(here[rows], drawing.cluster), drawing))


def _by_tile(row: Row, here: pl.DataFrame, drawing: Drawing) -> Iterator[tuple[list[Any], list[Any]]]:
    keys = here["group"] if here["tile"].null_count() == here.height else here["tile"]
    for name, rows in sorted(_places(keys)):
        part = here[rows]
        middle = [part[column].mean() for column in ("longitude", "latitude")]
        yield [name, *middle], _line(row, _scored(row, rows, None, clusters(part, "patch"), drawing))


def _by_distance(
    row: Row, here: pl.DataFrame, far: pl.DataFrame, drawing: Drawing
) -> Iterator[tuple[list[Any], list[Any]]]:
    """Pairs of a repeat and a patch, by how far its train patches are then."""
    pairs = here.select("patch_id").with_row_index("row").join(far, on="patch_id", how="left", maintain_order="left")
    km = pairs["km"].to_numpy().astype(np.float64)
    number, rows, repeats = bins_of(km), pairs["row"].to_numpy().astype(np.int64), pairs["repeat"].fill_null(0)
    for one in np.unique(number[number >= 0]).tolist():
        inside = np.flatnonzero(number == one)
        names = clusters(here[rows[inside]], drawing.cluster)
        found = _scored(row, rows[inside], repeats.to_numpy()[inside].astype(np.int64), names, drawing)
        to = EDGES[one + 1]
        ends = [EDGES[one], to if np.isfinite(to) else "", float(np.median(km[inside])), len(inside) / len(km)]
        yield ends, _line(row, found)


def _page(lines: Sequence[Sequence[Any]], columns: Sequence[str], result: Mapping[str, Any], drawing: Drawing) -> str:
    task = result["task"]
    known = {metric.name: metric for metric in (*METRICS_OF[task], *MORE_OF[task])}
    shown = [dict(zip(columns, line, strict=True)) for line in lines]
    parts = [f"# By country, {len(result['classes'])} classes"]
    if result["features"]["simulated"]:
        parts.append("**Simulated archive: these figures show that the workflow runs, nothing else.**")
    if not shown:
        return "\n\n".join([*parts, "The archive does not say which countries its patches are in."]) + "\n"
    kinds = ", ".join(PLURAL[kind] for kind in dict.fromkeys(line["cluster"] for line in shown) if kind)
    best = known[BEST[task]].heading.removesuffix(" %")
    parts.append(NOTE.format(best=best, level=100 * LEVEL, draws=drawing.draws, kinds=kinds or "none", fewest=FEWEST))
    kept = [line for line in shown if line["best"] or f"{line['features']}/{line['probe']}" in HELD_AGAINST]
    size = {line["country"]: line["patches"] for line in reversed(kept)}
    kept.sort(key=lambda line: (-size[line["country"]], line["country"]))
    headings = [known[name].heading for name in OF_FEW[task]]
    body = [
        [
            line["country"],
            f"{line['features']}/{line['probe']}",
            f"{line['patches']:,}",
            str(line["classes"]),
            *(_shown(known[name], line) for name in OF_FEW[task]),
        ]
        for line in kept
    ]
    heading = ["country", "row", "patches", "classes", *headings]
    return "\n\n".join([*parts, grid(heading, body, range(2, len(heading)))]) + "\n"


def _shown(metric: Metric, line: Mapping[str, Any]) -> str:
    ends = [line[f"{metric.name}_{end}"] for end in ("low", "high")]
    return metric.show(line[metric.name]) if "" in ends else metric.show_all(line[metric.name], ends)
