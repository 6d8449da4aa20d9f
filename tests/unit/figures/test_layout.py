"""Figures as a reader sees them: no text is cut off or covered, no marker hides another, and all fit a page."""

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from earthprobe.evaluation.metrics import METRICS
from earthprobe.figures import (
    ablation,
    buffer,
    class_distribution,
    comparison,
    confusion,
    cost,
    f2_per_class,
    label_budgets,
    reliability,
    style,
    umaps,
)
from earthprobe.storage.files import write_csv
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from torchgeo.datasets import BigEarthNet

from tests.unit.figures.test_figures import write_coordinates
from tests.unit.steps.test_explore import write_index

ORIGIN = ("simulated archive", "random weights (seed 0)")
PROBES = ("random_forest", "extra_trees", "linear", "mlp")
SETS = [f"features_number_{number}" for number in range(13)]
LONG = "galileo_both_random_of_a_name_that_is_long/linear"


def f2(folder: Path, classes: int) -> Figure:
    """Half of the classes are never found, by no probe."""
    rows, rng = [], np.random.default_rng(0)
    for number, name in enumerate(BigEarthNet.class_sets[classes]):
        for probe in PROBES:
            value = rng.random() if number % 2 else 0.0
            rows.append((number, name, 999 - number, probe, value, value / 2, (1 + value) / 2, *ORIGIN))
    write_csv(folder / "x.csv", f2_per_class.COLUMNS, rows)
    return drawn(f2_per_class, folder / "x.csv", folder)


def differences(folder: Path, pairs: int) -> Figure:
    values = np.random.default_rng(0).normal(0, 0.2, pairs)
    rows = [("dofa/mlp", LONG, "map_macro", v, v - 0.1, v + 0.1, 0.5, int(v > 0.1)) for v in values]
    write_csv(folder / "x.csv", comparison.COLUMNS, rows)
    return drawn(comparison, folder / "x.csv", folder)


def curves(folder: Path, sets: int) -> Figure:
    rows = []
    for name in SETS[:sets]:
        for probe in PROBES[:2]:
            for budget in (100, 1000, 5000, 5200):
                origin = (name, probe, budget, budget, 5, "map_macro")
                rows.append((*origin, 0.4, 0.35, 0.45, *ORIGIN))
    write_csv(folder / "x.csv", label_budgets.COLUMNS, rows)
    return drawn(label_budgets, folder / "x.csv", folder, METRICS[7].name)


def costs(folder: Path, sets: int, seed: int = 0) -> Figure:
    rows, rng = [], np.random.default_rng(seed)
    for number, name in enumerate(SETS[:sets]):
        score, rate = 0.4 + 0.1 * rng.random(), 10 ** (0.3 * number % 3)
        rest = (score, score - 0.05, score + 0.05, 1, 1, rate, 1, 1, 1, "cpu", 2, ORIGIN[0])
        rows.append((name, "m", "random:0" if number % 2 else "DOFA_MAE", "linear", 1, "map_macro", *rest))
    write_csv(folder / "x.csv", cost.COLUMNS, rows)
    return drawn(cost, folder / "x.csv", folder)


def crowded_costs(folder: Path, sets: int) -> Figure:
    """Names that have no place, which lengthen the note, which takes room from the names that had one."""
    return costs(folder, sets, seed=56)


def strips(folder: Path, rows: int) -> Figure:
    names = ["dofa/linear", *(f"control/{number}" for number in range(rows - 1))]
    lines = [(name, cells, "map_macro", 0.3, 0.28, 0.33, 9, ORIGIN[0]) for name in names for cells in (0, 2, 5)]
    write_csv(folder / "x.csv", buffer.COLUMNS, lines)
    return drawn(buffer, folder / "x.csv", folder)


def options(folder: Path, sets: int) -> Figure:
    rows = [(n, "zscore", n, p, 0.4, 0.39, 0.41, *ORIGIN, "map_macro") for n in range(sets) for p in PROBES]
    columns = ["features", "normalization", "image_size", "probe", "score", "low", "high", "data", "weights", "metric"]
    write_csv(folder / "x.csv", columns, rows)
    return drawn(ablation, folder / "x.csv", folder)


def promises(folder: Path, probes: int) -> Figure:
    points = np.linspace(0, 1, 15)
    rows = [(p, s, 0, 1, 99, x, x, *ORIGIN) for p in PROBES[:probes] for s in reliability.PANELS for x in points]
    write_csv(folder / "x.csv", reliability.COLUMNS, rows)
    return drawn(reliability, folder / "x.csv", folder)


def matrices(folder: Path, classes: int) -> Figure:
    names = enumerate(BigEarthNet.class_sets[classes])
    write_csv(folder / "x.csv", confusion.COLUMNS, [(n, name, 5, 123456, 7, 2, 3, *ORIGIN) for n, name in names])
    return drawn(confusion, folder / "x.csv", folder, "mlp")


def counts(folder: Path, classes: int) -> Figure:
    names = enumerate(BigEarthNet.class_sets[classes])
    columns = ["class", "name", "train", "data"]
    write_csv(folder / "x.csv", columns, [(n, name, 10 ** (n % 6), ORIGIN[0]) for n, name in names])
    return seen(class_distribution, lambda images: class_distribution.run(csv=folder / "x.csv", images=images), folder)


def maps(folder: Path, sets: int) -> Figure:
    rng = np.random.default_rng(0)
    labels = [sorted(rng.choice(19, 2, replace=False).tolist()) for _ in range(500)]
    index = write_index(folder / "index.parquet", ["train"] * 500, labels)
    write_coordinates(folder / "c.parquet", index, 400)
    return seen(
        umaps,
        lambda images: umaps.run(
            features=SETS[:sets],
            coordinates=[folder / "c.parquet"] * sets,
            index=index,
            label_set="19",
            csv=folder / "x.csv",
            images=images,
        ),
        folder,
    )


def drawn(module: Any, csv: Path, folder: Path, *more: str) -> Figure:
    return seen(module, lambda images: module.draw(csv, *more, images), folder)


def seen(module: Any, draw: Callable[[list[Path]], None], folder: Path) -> Figure:
    """The figure that a module draws and writes."""
    figures: list[Figure] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "save", lambda figure, outputs: (figures.append(figure), style.save(figure, outputs)))
        draw([folder / "x.png", folder / "x.pdf"])
    (figure,) = figures
    figure.draw_without_rendering()
    return figure


CASES: list[tuple[Callable[[Path, int], Figure], int]] = [
    (f2, 19),
    (f2, 43),
    (differences, 1),
    (differences, 11),
    (differences, 120),
    (curves, 3),
    (curves, 13),
    (costs, 1),
    (costs, 13),
    (crowded_costs, 13),
    (strips, 9),
    (options, 8),
    (promises, 4),
    (matrices, 19),
    (counts, 19),
    (maps, 1),
    (maps, 3),
    (maps, 13),
]


@pytest.fixture(params=CASES, ids=[f"{case.__name__}-{number}" for case, number in CASES])
def figure(request: pytest.FixtureRequest, tmp_path: Path) -> Figure:
    case, number = request.param
    return case(tmp_path, number)


def words(figure: Figure) -> Iterator[Text]:
    axis = [one for axes in figure.axes for one in (axes.xaxis, axes.yaxis) if axes.axison]
    of_ticks = {label for one in axis for tick in one.get_major_ticks() for label in (tick.label1, tick.label2)}
    # Those beyond the end of an axis are there, but are not drawn.
    shown = {label for one in axis for tick in one._update_ticks() for label in (tick.label1, tick.label2)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        off = text.axes is not None and not text.axes.axison and text not in text.axes.texts
        if text.get_visible() and text.get_text().strip() and (text in shown or text not in of_ticks) and not off:
            yield text


def test_it_fits_a_page(figure: Figure, tmp_path: Path):
    assert figure.get_figwidth() in (style.COLUMN, style.WIDTH)
    assert figure.get_figheight() <= style.PAGE
    assert (tmp_path / "x.png").stat().st_size < 300_000
    assert (tmp_path / "x.pdf").stat().st_size < 700_000


def test_no_text_is_cut_off_or_too_small(figure: Figure):
    for text in words(figure):
        box = text.get_window_extent()
        assert box.x0 > -1, text
        assert box.y0 > -1, text
        assert box.x1 < figure.bbox.x1 + 1, text
        assert box.y1 < figure.bbox.y1 + 1, text
        assert text.get_fontsize() >= 6, text


def test_no_text_covers_another(figure: Figure):
    boxes = [(text, text.get_window_extent()) for text in words(figure)]
    for (one, box), (other, its) in combinations(boxes, 2):
        apart = min(box.x1, its.x1) - max(box.x0, its.x0) < 1 or min(box.y1, its.y1) - max(box.y0, its.y0) < 1
        assert apart, (one.get_text(), other.get_text())


def markers(axes: Axes) -> Iterator[tuple[np.ndarray, float]]:
    """The places of a series' markers, in points, and how wide they are."""
    scale = 72 / axes.figure.dpi
    for collection in axes.collections:
        if isinstance(collection, PathCollection) and len(collection.get_offsets()):
            places = axes.transData.transform(np.asarray(collection.get_offsets()))
            yield places * scale, float(np.sqrt(collection.get_sizes()[0]))


@pytest.mark.parametrize(("case", "number"), [(f2, 19), (f2, 43), (options, 8), (differences, 45)])
def test_no_marker_hides_another(tmp_path: Path, case: Callable[[Path, int], Figure], number: int):
    for axes in case(tmp_path, number).axes:
        series = list(markers(axes))
        assert series
        for (one, size), (other, _) in combinations(series, 2):
            distance = np.linalg.norm(one[:, None] - other[None], axis=-1)
            assert distance.min() >= 0.95 * size


def test_curves_with_the_same_scores_stand_beside_each_other(tmp_path: Path):
    for axes in curves(tmp_path, 13).axes:
        places = [tuple(line.get_xydata()[0]) for line in axes.lines]
        assert len(set(places)) == 13
        assert max(x for x, _ in places) < 1000


def test_series_are_told_apart_without_their_colours():
    looks = [style.look(number) for number in range(56)]
    assert len({look[:2] for look in looks}) == 56
    assert len({(look.marker, look.style) for look in looks[:14]}) == 14


def test_pairs_beyond_a_page_are_said(tmp_path: Path):
    figure = differences(tmp_path, 120)
    assert len(figure.axes[0].get_yticklabels()) == comparison.MOST
    assert any("of 120 pairs" in text.get_text() for text in words(figure))


def test_a_forest_plot_says_its_figures(tmp_path: Path):
    figure = differences(tmp_path, 3)
    rows = pl.read_csv(tmp_path / "x.csv").select("difference", "low", "high").rows()
    want = ["{:+.1f}  [{:+.1f}, {:+.1f}]".format(*(100 * v for v in row)).replace("-", "−") for row in rows]
    assert [text.get_text() for text in figure.axes[0].texts] == want


def test_a_patch_is_drawn_as_the_class_that_it_has_alone():
    has = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1]], bool)
    # With a four patches have just one of the chosen, with a and b five, and with c one less, which comes with a alone.
    assert umaps.drawn_as(has, "abc") == ["a", "a", "b", "b", umaps.SEVERAL, umaps.NONE, "a"]


def test_the_same_patches_have_the_same_colours(tmp_path: Path):
    figure = maps(tmp_path, 3)
    first, *others = (axes.collections[0] for axes in figure.axes if axes.collections)
    assert len(others) == 2

    def painted(collection: PathCollection) -> dict[tuple[float, float], tuple[float, ...]]:
        return dict(zip(map(tuple, collection.get_offsets()), map(tuple, collection.get_facecolors()), strict=True))

    for other in others:
        assert painted(other) == painted(first)
    assert len(first.get_offsets()) == 400
    rest = [to_hex(colour).upper() in umaps.REST.values() for colour in first.get_facecolors()]
    assert rest == sorted(rest, reverse=True)  # grey lies below
    assert 0 < sum(rest) < 400
    assert [axes.get_title() for axes in figure.axes][:1] == ["features_number_0 *"]
