"""Draw for each class the test patches that a feature set's best probe gave the highest and the lowest scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes

from earthprobe.describe import describe_data, describe_weights
from earthprobe.evaluation.best import best_on_val
from earthprobe.evaluation.metrics import predict
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import WIDTH, new_figure, note, save, short
from earthprobe.storage.files import read_json, write_csv
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.pixels import read_patches
from earthprobe.storage.quick_look import colours_of, quick_look

EACH = 3  # quick-looks of either kind
# In widths of a quick-look: between the best and the worst, of a class, from one to the next, and from row to row.
APART, BLOCK, STRIDE, STEP = 0.25, 6.25, 6.75, 1.62
ACROSS = 2  # classes in a row
RASTER = 150  # dots per inch, by which a quick-look has 80 pixels
COLUMNS = ("class", "name", "kind", "rank", "patch_id", "score", "true", "predicted", "data", "weights")


def run(
    *,
    probes: Sequence[str],
    metrics: Sequence[Path],
    scores: Sequence[Path],
    threshold: float,
    shards: Sequence[Path],
    csv: Path,
    images: Sequence[Path],
) -> None:
    """Writes which patches are shown, and draws them.

    Args:
        probes: the name of each probe.
        metrics: its ``metrics.json``: that is shown which is best on val.
        scores: its ``scores.parquet``.
        threshold: a class is predicted where its score is above this.
        shards: all shards of the sensor to show.
        csv: the numbers of the figure.
        images: files ending in .jpg, .png, .pdf or .svg.
    """
    (best,) = best_on_val([""] * len(metrics), [read_json(path) for path in metrics])
    gather(scores[best], threshold, csv)
    draw(csv, scores[best], probes[best], shards, images)


def gather(scores: Path, threshold: float, output: Path) -> None:
    """Writes which patches are shown: of those that have the class, the highest and the lowest scores.

    Args:
        scores: a probe's ``scores.parquet``.
        threshold: a class is predicted where its score is above this.
        output: CSV, classes as indices joined by spaces.
    """
    source = read_metadata(scores)
    origin = (describe_data(source["features"]), describe_weights(source["features"]))
    table = pl.read_parquet(scores).filter(pl.col("split") == "test")
    if "repeat" in table.columns:  # a patch is shown once
        table = table.filter(pl.col("repeat") == 0)
    values, targets = table["scores"].to_numpy(), table["targets"].to_numpy()
    ids = table["patch_id"].to_list()
    rows: list[tuple[object, ...]] = []
    for number, name in enumerate(source["classes"]):
        members = np.flatnonzero(targets[:, number])
        order = members[np.argsort(-values[members, number], kind="stable")]
        best = order[:EACH]
        # Few members are not shown twice.
        worst = order[len(best) :][::-1][:EACH]
        for kind, chosen in (("best", best), ("worst", worst)):
            for rank, row in enumerate(chosen, start=1):
                masks = (targets[row], predict(values[row : row + 1], threshold, source["task"])[0])
                true, predicted = (" ".join(map(str, np.flatnonzero(mask))) for mask in masks)
                score = f"{values[row, number]:.4f}"
                rows.append((number, name, kind, rank, ids[row], score, true, predicted, *origin))
    write_csv(output, COLUMNS, rows)


def draw(csv: Path, scores: Path, probe: str, shards: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Draws a strip a class, two strips a row: best patches on the left, worst on the right, scores below.

    Args:
        csv: what :func:`gather` wrote.
        scores: a probe's ``scores.parquet``, for the names of all classes, also of those that the test split lacks.
        probe: the probe's name, for the note.
        shards: all shards of the sensor to show.
        outputs: image files.
    """
    table = read_numbers(csv, {"true": pl.String, "predicted": pl.String})
    classes = read_metadata(scores)["classes"]
    wanted = set(table["patch_id"])
    units = read_metadata(shards[0])["units"]
    looks = {p: quick_look(v, units) for path in shards for p, v in read_patches(path, wanted).items()}
    colours = colours_of(units)
    across = min(ACROSS, len(classes))
    rows = -(-len(classes) // across)
    width = (across - 1) * STRIDE + BLOCK
    figure = new_figure(0.35 + (rows * STEP + 0.35) * WIDTH / (STRIDE + BLOCK), WIDTH * width / (STRIDE + BLOCK))
    axes = figure.subplots()
    for number, name in enumerate(classes):
        left, top = number // rows * STRIDE, number % rows * STEP
        here = table.filter(pl.col("class") == number)
        missing = "" if len(here) else ": no test patch"
        axes.text(left, top - 0.06, f"{short(name, 44)}{missing}", fontsize=7, weight="bold", va="bottom")
        for row in here.iter_rows(named=True):
            _place(axes, row, left, top, looks)
    for block in range(across):
        for start, text in ((0.0, "highest scores"), (EACH + APART, "lowest scores")):
            middle = block * STRIDE + start + EACH / 2
            axes.text(middle, -0.42, text, ha="center", va="bottom", fontsize=7.5)
    axes.set_xlim(0, width)
    axes.set_ylim((rows - 1) * STEP + 1.25, -0.72)
    axes.set_aspect("equal")
    axes.set_axis_off()
    data, weights = (table["data"][0], table["weights"][0]) if len(table) else ("", "")
    note(figure, f"test patches with the class, scores of {probe}; {colours}", data, weights)
    save(figure, outputs, dpi=RASTER)


def _place(
    axes: Axes, row: Mapping[str, object], start: float, top: float, looks: Mapping[str, npt.NDArray[np.uint8]]
) -> None:
    left = start + int(str(row["rank"])) - 1 + (EACH + APART if row["kind"] == "worst" else 0)
    # Vectors from elsewhere may be of patches that the sensor lacks.
    look = looks.get(str(row["patch_id"]), np.full((1, 1, 3), 230, np.uint8))
    axes.imshow(look, extent=(left + 0.02, left + 0.98, top + 0.96, top), aspect="auto")
    axes.text(left + 0.5, top + 1, f"{float(str(row['score'])):.2f}", fontsize=6, ha="center", va="top")
