"""Write one page on which the patches of a run can be looked at: where they lie, what they have and what they get."""

import logging
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from earthprobe.archives.interface import SPLITS
from earthprobe.describe import describe_data, describe_origin, describe_weights
from earthprobe.evaluation.best import best_on_val
from earthprobe.evaluation.metrics import predict
from earthprobe.outlines import outlines
from earthprobe.storage.files import read_csv, read_json, write_text
from earthprobe.storage.label_matrix import classes_of, label_matrix
from earthprobe.storage.page import as_data, assembled, block, columns
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.pictures import pictures_of
from earthprobe.storage.scores import scores_of_patches

log = logging.getLogger(__name__)

Arrays = dict[str, npt.NDArray[Any]]

FOLDED = "tested by folds"
NOWHERE, NOBODY = 2**16 - 1, 2**32 - 1
"""What stands for a place in a layout, and for a neighbour, that there is not."""

DETAIL = ((10, 1), (5, 8), (3, 17), (1, 51))
"""Neighbours of a patch, and the step of scores in 255ths: less of both where there are many patches."""

TRIED = 16
"""A part of the rows, one in so many, by which bytes are foretold."""

SHARE_OF_DATA = 0.7
"""Of the page, what is left to pictures is at least the rest, as far as less detail can make it so."""

SCRIPTS = ("data.js", "colours.js", "points.js", "panels.js", "side.js", "main.js")

AROUND = 1.0
"""Of the longer side of all places, how far land is drawn from their middle."""

NARROWEST = 0.5
"""Degrees that are shown at least."""

CORNERS = 800
"""Parts of the map's longer side that a coast's corner is told in: less than a pixel."""


class Row(NamedTuple):
    """A row of the tables.

    Attributes:
        labels: its label set.
        features: its feature set.
        probe: its probe.
        result: its ``metrics.json``.
        scores: its ``scores.parquet``.
    """

    labels: str
    features: str
    probe: str
    result: Mapping[str, Any]
    scores: Path


def run(
    *,
    index: Path,
    sample: Path,
    features: Sequence[str],
    layouts: Sequence[Path],
    label_sets: Sequence[str],
    doubts: Sequence[Path],
    row_features: Sequence[str],
    row_probes: Sequence[str],
    row_labels: Sequence[str],
    metrics: Sequence[Path],
    scores: Sequence[Path],
    sensors: Sequence[str] = (),
    shards: Sequence[Path] = (),
    threshold: float,
    megabytes: float,
    seed: int = 0,
    output: Path,
) -> None:
    """Writes the page, which holds all it shows.

    Args:
        index: ``index.parquet``.
        sample: ``sample.parquet``: the patches to show; those of doubtful labels come on top.
        features: the feature sets.
        layouts: what the step ``umap`` wrote of each.
        label_sets: the label sets.
        doubts: what the step ``doubts`` wrote of each.
        row_features: the feature set of each row of the tables.
        row_probes: the probe of each row.
        row_labels: the label set of each row.
        metrics: the ``metrics.json`` of each row; of a feature set the probe is shown that val likes best.
        scores: the ``scores.parquet`` of each row.
        sensors: those by which patches are shown, the first most of all.
        shards: the shards of each, one sensor after the other.
        threshold: a class is predicted where its score is above this.
        megabytes: what the page may take: pictures are as large as fits, and at last those of some patches alone.
        seed: of which patches have pictures then.
        output: the page.
    """
    doubtful = [list(read_csv(path)) for path in doubts]
    listed = {row["patch_id"] for rows in doubtful for row in rows}
    wanted = sorted(listed.union(pl.read_parquet(sample)["patch_id"].to_list()))
    patches = pl.DataFrame({"patch_id": wanted}).join(
        pl.read_parquet(
            index,
            columns=["patch_id", "split", "group", "country", "date", "longitude", "latitude"]
            + [f"labels_{name}" for name in label_sets],
        ),
        on="patch_id",
        how="inner",
        maintain_order="left",
    )
    place = {patch_id: row for row, patch_id in enumerate(patches["patch_id"].to_list())}
    if "folds" in pl.read_parquet_schema(index):  # where a patch is of every split in turn
        patches = patches.with_columns(split=pl.lit(FOLDED))
    arrays, meta = _patches(patches)
    for number, layout in enumerate(layouts):
        arrays |= _layout(layout, place, number)
    meta["features"] = [{"name": name} for name in features]
    meta["labelSets"] = []
    table = [
        Row(*row) for row in zip(row_labels, row_features, row_probes, map(read_json, metrics), scores, strict=True)
    ]
    for position, (name, rows) in enumerate(zip(label_sets, doubtful, strict=True)):
        own = [row for row in table if row.labels == name]
        best = [own[row] for row in best_on_val([row.features for row in own], [row.result for row in own])]
        classes = classes_of(index, name)
        arrays[f"labels-{position}"] = np.packbits(label_matrix(patches[f"labels_{name}"], len(classes)), axis=1)
        for row in best:
            number = features.index(row.features)
            arrays |= _scored(row, place, threshold, f"{position}-{number}")
            meta["features"][number] |= _origin(row.result["features"])
        probes = {row.features: row.probe for row in best}
        meta["labelSets"].append(
            {"name": name, "classes": classes, "probes": probes, "doubts": _doubts(rows, place, classes)}
        )
    source_of_index = read_metadata(index)
    data = describe_data(source_of_index)
    meta |= {
        "title": data,
        "warning": _warning(source_of_index["simulated"], meta["features"]),
        "threshold": threshold,
        "nowhere": NOWHERE,
    }
    arrays |= _map(patches)

    limit = int(1e6 * megabytes)
    types, elements = columns(_that_fits(arrays, limit * SHARE_OF_DATA))
    meta["types"] = types
    library = (resources.files("pydeck") / "nbextension/static/index.js").read_bytes()
    elements += [block("ids", "\n".join(place).encode(), deflated=True), block("library", library, deflated=True)]
    room = limit - sum(map(len, elements))
    first = sorted(place[patch_id] for patch_id in listed if patch_id in place)
    each = len(shards) // max(len(sensors), 1)
    of_sensor = {sensor: shards[each * number : each * (number + 1)] for number, sensor in enumerate(sensors)}
    shown = pictures_of(patches["patch_id"].to_list(), first, of_sensor, room, seed)
    meta["pictures"] = shown.meta
    types_of_pictures, of_pictures = columns(shown.arrays)
    meta["types"] |= types_of_pictures
    elements += [*of_pictures, *shown.elements, as_data(meta)]
    script = "\n".join(map(_resource, SCRIPTS))
    text = assembled(f"Explorer: {data}", _resource("style.css"), _resource("page.html"), elements, script)
    write_text(output, text)
    log.info("%d patches, %s, %.1f MB", len(place), shown.said, len(text) / 1e6)


def _that_fits(arrays: Arrays, limit: float) -> Arrays:
    """The arrays in as much detail as fits, by what a part of their rows takes."""
    for near, step in DETAIL:
        result = _coarser(arrays, near, step)
        rows = {name: max(1, len(array) // TRIED) for name, array in result.items()}
        _, some = columns({name: array[len(array) // 2 :][: rows[name]] for name, array in result.items()})
        needed = sum(len(text) * len(result[name]) / rows[name] for name, text in zip(result, some, strict=True))
        if needed <= limit:
            break
    return result


def _coarser(arrays: Arrays, near: int, step: int) -> Arrays:
    """Fewer neighbours, and scores in steps of so many 255ths, which become fewer bytes when they are packed."""
    result = dict(arrays)
    for name, array in arrays.items():
        if name.startswith(("nearest-", "similarity-")):
            result[name] = array[:, :near]
        elif name.startswith("scores-") and step > 1:
            # The ends stay what they are.
            result[name] = np.minimum(step * np.round(array / step), 255).astype(np.uint8)
    return result


def _scored(row: Row, place: Mapping[str, int], threshold: float, key: str) -> Arrays:
    """Scores in 255ths, what is predicted by them, and which patches have any."""
    values = scores_of_patches(row.scores, place)
    scored = np.isfinite(values[:, 0])
    known = np.nan_to_num(values)
    predicted = predict(known, threshold, row.result["task"]) & scored[:, None]
    return {
        f"scores-{key}": np.round(255 * known).astype(np.uint8),
        f"predicted-{key}": np.packbits(predicted, axis=1),
        f"scored-{key}": scored.astype(np.uint8),
    }


def _patches(patches: pl.DataFrame) -> tuple[Arrays, dict[str, Any]]:
    """What is known of each patch, and the names that numbers stand for."""
    arrays: Arrays = {}
    meta: dict[str, Any] = {"count": len(patches)}
    for column, kind in (("split", np.uint8), ("country", np.uint16), ("group", np.uint32)):
        values = patches[column].fill_null("unknown")
        there = values.unique().sort().to_list()
        names = [name for name in (*SPLITS, FOLDED) if name in there] if column == "split" else there
        numbers = {name: number for number, name in enumerate(names)}
        arrays[column] = np.array([numbers[value] for value in values.to_list()], dtype=kind)
        meta[column] = names
    arrays["date"] = patches["date"].cast(pl.Int32).fill_null(0).to_numpy().astype(np.int32)  # days since 1970
    return arrays, meta


def _layout(path: Path, place: Mapping[str, int], number: int) -> Arrays:
    """Where a feature set's layout has the patches, in parts of its box, and which are nearest to which."""
    table = pl.read_parquet(path)
    rows = np.array([place[patch_id] for patch_id in table["patch_id"].to_list()], dtype=np.uint32)
    points = table.select("x", "y").to_numpy().astype(np.float64)
    low, span = points.min(axis=0), np.ptp(points, axis=0).max() or 1.0
    # In the middle of the square.
    shift = (span - np.ptp(points, axis=0)) / 2
    xy = np.full((len(place), 2), NOWHERE, np.uint16)
    xy[rows] = np.round((NOWHERE - 1) * (points - low + shift) / span)
    nearest = np.full((len(place), table["nearest"].dtype.shape[0]), NOBODY, np.uint32)  # type: ignore[attr-defined]
    nearest[rows] = rows[table["nearest"].to_numpy()]
    similarity = np.zeros(nearest.shape, np.int16)
    similarity[rows] = np.round(1e4 * table["similarity"].to_numpy())
    return {f"xy-{number}": xy, f"nearest-{number}": nearest, f"similarity-{number}": similarity}


def _map(patches: pl.DataFrame) -> Arrays:
    """Where patches are, and the coasts and borders around them; longitudes as wide as they are in the middle."""
    places = patches.select("longitude", "latitude").to_numpy().astype(np.float64)
    known = places[np.isfinite(places).all(axis=1)]
    if not len(known):
        return {}
    low, high = known.min(axis=0), known.max(axis=0)
    middle = (low + high) / 2
    shrink = np.array([math.cos(math.radians(middle[1])), 1.0])
    longest = max(float(((high - low) * shrink).max()), NARROWEST)
    # A square, so that land fills a panel of any shape.
    (west, south), (east, north) = (middle + sign * AROUND * longest / shrink for sign in (-1, 1))
    rings = outlines(max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0), longest / CORNERS)
    lines = np.concatenate([ring * shrink for ring in rings]) if rings else np.empty((0, 2))
    return {
        "place": (places * shrink).astype(np.float32),
        "coast": lines.astype(np.float32),
        "coast-starts": np.cumsum([0, *map(len, rings)]).astype(np.uint32),
    }


def _doubts(
    rows: Sequence[Mapping[str, str]], place: Mapping[str, int], classes: Sequence[str]
) -> list[list[list[list[object]]]]:
    """Of each class those that have it and those that lack it: row, quality, and how many feature sets doubt of all."""
    found: list[list[list[list[object]]]] = [[[], []] for _ in classes]
    for row in rows:
        if row["patch_id"] in place:
            entry: list[object] = [
                place[row["patch_id"]],
                float(row["quality"]),
                int(row["doubted_by"]),
                int(row["scored_by"]),
            ]
            found[int(row["class"])][row["label"] == "lacks"].append(entry)
    return found


def _warning(simulated: bool, features: Sequence[Mapping[str, str]]) -> str:
    """What must not pass for more."""
    first = "Simulated archive: nothing on this page is a result." if simulated else ""
    drawn = [one["name"] for one in features if one.get("weights", "").startswith("random weights")]
    return " ".join(filter(None, (first, f"Random weights: {', '.join(drawn)}." if drawn else "")))


def _origin(source: Mapping[str, Any]) -> dict[str, str]:
    return {"what": describe_origin(source), "weights": describe_weights(source)}


def _resource(name: str) -> str:
    return (resources.files("earthprobe") / "resources/explorer" / name).read_text(encoding="utf-8")
