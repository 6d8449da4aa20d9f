"""Draw the embeddings of all feature sets in two dimensions side by side, the same patches in the same colours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from earthprobe.describe import is_random
from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import COLUMN, SERIES, WIDTH, new_figure, note, save, short, wrapped
from earthprobe.figures.umap import bounds, memberships
from earthprobe.storage.files import write_csv
from earthprobe.storage.parquet import read_metadata

COLOURS = SERIES[:-1]
"""One a class; black is too loud for a crowd of points."""
SEVERAL, NONE = "several of these", "none of these"
REST = {SEVERAL: "#9A9A9A", NONE: "#D8D8D8"}
WORTH = 0.01
"""The share of the patches that a class must add to those with just one, to have a colour."""
MARK = " *"
ACROSS = 4  # panels a row


def run(
    *,
    features: Sequence[str],
    coordinates: Sequence[Path],
    index: Path,
    label_set: str,
    csv: Path,
    images: Sequence[Path],
) -> None:
    """Writes the coordinates of all feature sets beside each other, and draws them.

    Args:
        features: the name of each feature set.
        coordinates: what the step ``umap`` wrote of it.
        index: ``index.parquet``.
        label_set: the name of the label set.
        csv: the numbers of the figure.
        images: files ending in .png, .pdf or .svg.
    """
    gather(features, coordinates, index, label_set, csv)
    draw(csv, features, coordinates, images)


def gather(features: Sequence[str], coordinates: Sequence[Path], index: Path, label_set: str, output: Path) -> None:
    """Writes where each feature set puts each patch, and what the patch is drawn as.

    Args:
        features: the name of each feature set.
        coordinates: what the step ``umap`` wrote of it.
        index: ``index.parquet``.
        label_set: the name of the label set.
        output: CSV: ``patch_id``, ``drawn_as``, and ``<features>_x`` and ``<features>_y`` of each.
    """
    labels = pl.read_parquet(index, columns=["patch_id", f"labels_{label_set}"])
    parts = [
        pl.read_parquet(path).select("patch_id", pl.col("x").alias(f"{name}_x"), pl.col("y").alias(f"{name}_y"))
        for name, path in zip(features, coordinates, strict=True)
    ]
    table = pl.concat([part.select("patch_id") for part in parts]).unique(maintain_order=True)
    joined = pl.col(f"labels_{label_set}").cast(pl.List(pl.String)).list.join(" ")
    table = table.join(labels.select("patch_id", drawn_as=joined), on="patch_id", how="left", maintain_order="left")
    names = read_metadata(index)["classes"][label_set]
    table = table.with_columns(drawn_as=pl.Series(drawn_as(memberships(table["drawn_as"], len(names)), names)))
    for part in parts:
        table = table.join(part, on="patch_id", how="left", maintain_order="left")
    write_csv(output, table.columns, table.rows())


def drawn_as(has: npt.NDArray[np.bool_], names: Sequence[str]) -> list[str]:
    """The class that stands for each patch, of those few of which most patches have just one.

    Args:
        has: which patch has which class, shape (patches, classes).
        names: of the classes.
    """
    chosen: list[int] = []
    while len(chosen) < min(len(COLOURS), len(names)):
        counts = has[:, chosen].sum(axis=1)
        single = [-1 if number in chosen else int((counts + has[:, number] == 1).sum()) for number in range(len(names))]
        best = int(np.argmax(single))
        if single[best] - int((counts == 1).sum()) <= WORTH * len(has):
            break
        chosen.append(best)
    of_chosen = has[:, chosen]
    first = of_chosen.argmax(axis=1) if chosen else np.zeros(len(has), int)
    counts = of_chosen.sum(axis=1)
    return [
        names[chosen[number]] if count == 1 else SEVERAL if count else NONE
        for number, count in zip(first.tolist(), counts.tolist(), strict=True)
    ]


def draw(csv: Path, features: Sequence[str], coordinates: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Draws a panel a feature set, and one legend.

    Args:
        csv: what :func:`gather` wrote.
        features: the name of each feature set.
        coordinates: what the step ``umap`` wrote of it, for what its metadata say.
        outputs: image files.
    """
    table = read_numbers(csv)
    sources = [read_metadata(path) for path in coordinates]
    counts = dict(table["drawn_as"].value_counts(sort=True).iter_rows())
    classes = [name for name in counts if name not in REST]
    colours = {**dict(zip(classes, COLOURS, strict=False)), **{name: REST[name] for name in REST if name in counts}}
    across = min(ACROSS, len(features))
    rows = -(-len(features) // across)
    width = WIDTH if across > 1 else COLUMN
    figure = new_figure(0.35 + rows * (width / across + 0.22) + 0.17 * -(-len(colours) // _columns(width)), width)
    panels = figure.subplots(rows, across, squeeze=False).ravel()
    order = np.random.default_rng(0)
    for axes, name, source in zip(panels, features, sources, strict=False):
        here = table.select("drawn_as", x=f"{name}_x", y=f"{name}_y").drop_nulls()
        points = here.select("x", "y").to_numpy()
        # The rest lies below; of the others none always lies above another.
        grey = here["drawn_as"].is_in(list(REST)).to_numpy()
        last = np.lexsort((order.random(len(points)), ~grey))
        paint = np.array([colours[drawn] for drawn in here["drawn_as"]])
        size = float(np.clip(3000 / max(len(points), 1), 0.8, 5))
        axes.scatter(*points[last].T, s=size, c=paint[last], linewidths=0, rasterized=True)
        axes.set_xlim(bounds(points[:, 0]))
        axes.set_ylim(bounds(points[:, 1]))
        axes.set_title(wrapped(f"{name}{MARK if is_random(source['weights']) else ''}", 24), fontsize=7, pad=2)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color("#CCCCCC")
    for axes in panels[len(features) :]:
        axes.set_axis_off()
    _key(figure, colours, counts, width)
    random = f"{MARK.strip()} random weights" if any(is_random(source["weights"]) for source in sources) else ""
    note(figure, f"UMAP of {len(table):,} patches", sources[0]["data"], random)
    save(figure, outputs)


def _columns(width: float) -> int:
    return 3 if width > COLUMN else 2


def _key(figure: Figure, colours: dict[str, str], counts: dict[str, int], width: float) -> None:
    letters = 34 if width > COLUMN else 20
    named = {f"{short(name, letters)} ({counts[name]:,})": colour for name, colour in colours.items()}
    dots = {"linestyle": "", "marker": "o", "markersize": 4}
    handles = [Line2D([], [], color=colour, label=label, **dots) for label, colour in named.items()]  # type: ignore[arg-type]
    figure.legend(handles=handles, loc="outside upper center", ncols=_columns(width), fontsize=7, handletextpad=0.1)
