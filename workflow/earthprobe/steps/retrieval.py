"""Tell how well the nearest train patches share the labels of test patches, a row a feature set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from earthprobe.describe import describe_data, describe_weights
from earthprobe.errors import UserError
from earthprobe.evaluation.clusters import COLUMNS as CLUSTERED_BY
from earthprobe.evaluation.clusters import PLURAL, clusters
from earthprobe.evaluation.comparison import Difference, Figure, difference
from earthprobe.evaluation.intervals import DRAWS, LEVEL, Interval, interval, weights_of_runs
from earthprobe.evaluation.resampling import drawn, numbered, summed
from earthprobe.evaluation.retrieval import DEPTHS, HEADINGS, Database, chance, figures, gains, there
from earthprobe.probes.data import rows_of
from earthprobe.probes.fits import fits_of
from earthprobe.storage.files import write_csv, write_text
from earthprobe.storage.html import Part, page
from earthprobe.storage.label_matrix import classes_of, label_matrix
from earthprobe.storage.markdown import grid
from earthprobe.storage.parquet import parquet, read_metadata

Doubles = npt.NDArray[np.float64]

CHANCE = "chance"
COLUMNS = (
    "features",
    *(f"{name}{end}" for name in HEADINGS for end in ("", "_low", "_high")),
    *(f"{name}_less_chance{end}" for name in HEADINGS for end in ("", "_low", "_high")),
    "queries",
    "queries_without_label",
    "database",
    "neighbors",
    "clusters",
    "cluster",
    "data",
    "weights",
)
STYLE = "td:nth-child(n+2) { text-align: right; }"

NOTES = (
    "Each test patch asks for the train patches nearest to it, by the cosine of vectors that are standardised as the"
    " probes see them; the search is exact.",
    "Any: a train patch is relevant that has any class of the query. Jaccard: it is as relevant as the share of the"
    " classes of either that both have. AP@k adds up how relevant those up to each relevant place are, divided by"
    " what could be found, at most k; P@k is the share of k that are relevant. docs/method.md has the formulas.",
    "Chance: the same of train patches in random order, on the mean over all orders.",
)


class Result(NamedTuple):
    """How well a feature set finds.

    Attributes:
        name: of the feature set.
        found: its figures, and how much more they are than chance.
        by_chance: what chance is.
        said: the last columns of its row.
        repeats: how often each patch asked.
    """

    name: str
    found: Mapping[str, tuple[float, Interval, Difference]]
    by_chance: Mapping[str, tuple[float, Interval]]
    said: Sequence[Any]
    repeats: int


def run(
    *,
    neighbors: Sequence[Path],
    features: Sequence[Path],
    names: Sequence[str],
    index: Path,
    label_set: str,
    buffer: float = 0,
    cluster: str = "auto",
    draws: int = DRAWS,
    seed: int = 0,
    csv: Path,
    md: Path,
    html: Path,
) -> None:
    """Writes the table of a label set as CSV (fractions), Markdown and HTML (percent).

    Args:
        neighbors: the nearest train patches of test patches, a file a feature set.
        features: the vectors that they were found by.
        names: the names of the feature sets.
        index: ``index.parquet``, for labels, splits and which patches are not independent.
        label_set: the name of the label set.
        buffer: the strip around test, in cells, that the train patches lie beyond.
        cluster: what intervals draw: ``tile``, ``block``, ``scene``, ``patch``, or ``auto``.
        draws: how often.
        seed: of the draws.
        csv: all figures, with intervals.
        md: the table to read.
        html: the same for the report.
    """
    results = [
        _result(name, near, vectors, index, label_set, buffer, (cluster, draws, seed))
        for name, near, vectors in zip(names, neighbors, features, strict=True)
    ]
    write_csv(csv, COLUMNS, [*(_line(one) for one in results), _chance_line(results[0])])
    said = read_metadata(index)
    title = f"Retrieval, {label_set if label_set.isdigit() else len(said['classes'][label_set])} classes"
    notes = _notes(results, said["simulated"], draws)
    heading = ["features", *HEADINGS.values()]
    body = [[one.name, *(_shown(value, ends) for value, ends, _ in one.found.values())] for one in results] + [
        [CHANCE, *(_shown(*figure) for figure in results[0].by_chance.values())]
    ]
    more = Part(
        "More than chance",
        ["In points, on the same draws."],
        heading,
        [[one.name, *(_signed(less.value, less.interval) for *_, less in one.found.values())] for one in results],
    )
    parts = [f"# {title}", *notes, grid(heading, body, range(1, len(heading)))]
    parts += [f"## {more.title}", *more.notes, grid(more.heading, more.body, range(1, len(heading)))]
    write_text(md, "\n\n".join(parts) + "\n")
    write_text(html, page(title, notes, heading, [("", row) for row in body], STYLE, (), [more]))


def _result(
    name: str,
    near: Path,
    vectors: Path,
    index: Path,
    label_set: str,
    buffer: float,
    by: tuple[str, int, int],
) -> Result:
    said, classes = read_metadata(index), classes_of(index, label_set)
    rows = rows_of(vectors, index, label_set)
    targets, own = label_matrix(rows["labels"], len(classes)), rows["row"].to_numpy()
    with parquet(near) as file:
        table = file.read(columns=["patch_id", "neighbors"])
    ids = table["patch_id"].to_pylist()
    found = table["neighbors"].combine_chunks().flatten().to_numpy().reshape(len(ids), -1)
    repeats = said["folds"]["repeats"] if said.get("folds") else 1
    values = {key: np.full((2, repeats, rows.height), np.nan) for key in HEADINGS}
    start, databases = 0, []
    for fit in fits_of(rows, said.get("folds"), buffer):
        if not len(fit.train) or not len(fit.test):
            continue
        part = slice(start, start := start + len(fit.test))
        if ids[part] != rows["patch_id"][fit.test].to_list():
            raise UserError(f"{near} has other test patches than {vectors}: delete it and run again")
        queries, database = targets[fit.test], targets[fit.train]
        known = there(queries, database)
        databases.append(known)
        gain = gains(queries, database, np.searchsorted(own[fit.train], found[part]))
        for number, of in enumerate((figures(gain, known), chance(known, gain.shape[1]))):
            for key in HEADINGS:
                values[key][number, fit.repeat, fit.test] = of[key]
    asked: npt.NDArray[np.bool_] = np.all(np.isfinite(next(iter(values.values()))), axis=(0, 1))
    labelled = asked & np.any(targets, axis=1)
    if not labelled.any():
        raise UserError(f"{index}: no test patch of {vectors} has a label of {label_set}: nothing can be retrieved")
    kind, places = _clusters(rows.filter(labelled), index, by[0])
    figures_of = _drawn({key: of[:, :, labelled] for key, of in values.items()}, places, *by[1:])
    source = read_metadata(vectors)
    return Result(
        name,
        {
            key: (one.value, interval(one.draws, one.value), difference(one, by_chance))
            for key, (one, by_chance) in figures_of.items()
        },
        {key: (other.value, interval(other.draws, other.value)) for key, (_, other) in figures_of.items()},
        (
            int(labelled.sum()),
            int(asked.sum() - labelled.sum()),
            _patches(databases),
            found.shape[1],
            len(set(places)),
            kind,
            describe_data(source),
            describe_weights(source),
        ),
        repeats,
    )


def _patches(databases: Sequence[Database]) -> int:
    return round(float(np.mean([database.patches for database in databases])))


def _clusters(rows: pl.DataFrame, index: Path, cluster: str) -> tuple[str, list[str]]:
    columns = [name for name in pl.read_parquet_schema(index) if name in CLUSTERED_BY]
    known = pl.read_parquet(index, columns=columns)
    return clusters(rows.select("patch_id").join(known, on="patch_id", how="left", maintain_order="left"), cluster)


def _drawn(
    values: Mapping[str, Doubles], places: Sequence[str], draws: int, seed: int
) -> dict[str, tuple[Figure, Figure]]:
    """The means over queries and repeats, and those of each draw, of the feature set and of chance.

    Args:
        values: by figure, shape (2, repeats, queries).
        places: of each query, its cluster.
        draws: how often clusters and repeats are drawn.
        seed: of the draws.
    """
    chosen = drawn(numbered(places), draws, seed)
    count = summed(np.ones((len(places), 1)), chosen)
    weights = weights_of_runs(1, next(iter(values.values())).shape[1], draws, seed)

    def figure(of: Doubles) -> Figure:
        return Figure(float(of.mean()), np.clip((summed(of.T, chosen) / count * weights).sum(axis=1), 0, 1))

    return {name: (figure(of[0]), figure(of[1])) for name, of in values.items()}


def _line(one: Result) -> list[Any]:
    figures = [end for value, ends, _ in one.found.values() for end in (value, *ends)]
    less = [end for *_, more in one.found.values() for end in (more.value, *more.interval)]
    return [one.name, *figures, *less, *one.said]


def _chance_line(one: Result) -> list[Any]:
    figures = [end for value, ends in one.by_chance.values() for end in (value, *ends)]
    return [CHANCE, *figures, *[""] * (3 * len(HEADINGS)), *one.said[:-1], ""]


def _shown(value: float, ends: Interval) -> str:
    return f"{100 * value:.1f} [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"


def _signed(value: float, ends: Interval) -> str:
    return f"{100 * value:+.1f} [{100 * ends[0]:+.1f}, {100 * ends[1]:+.1f}]"


def _notes(results: Sequence[Result], simulated: bool, draws: int) -> list[str]:
    asked, empty, database, _, count, kind, data, _ = results[0].said
    notes = ["**Simulated archive: these figures show that the workflow runs, nothing else.**"] if simulated else []
    others = [one for one in results[1:] if one.said[:3] != results[0].said[:3]]
    notes += [
        f"{data}: {asked} test patches ask {database} train patches{f' ({results[0].name})' if others else ''}.",
        *NOTES,
    ]
    if others:
        counts = ", ".join(f"{one.name} {one.said[0]} of {one.said[2]}" for one in others)
        notes.append(f"Other test and train patches, and a chance of their own: {counts}.")
    if empty:
        notes.append(f"{empty} test patches without a class of these are left out: nothing is relevant to them.")
    if few := {one.name: one.said[3] for one in results if one.said[3] < max(DEPTHS)}:
        counts = ", ".join(f"{name} {k}" for name, k in few.items())
        notes.append(f"Fewer than {max(DEPTHS)} train patches, where depths beyond them stop: {counts}.")
    repeats = results[0].repeats
    again = f" and of the {repeats} repeats" if repeats > 1 else ""
    level = (
        f"In brackets: {100 * LEVEL:.0f} % intervals, by {draws:,} draws of the {count} {PLURAL[kind]} of the queries"
    )
    return [*notes, f"{level}{again}."]
