"""Draw the patches of each class in the train split (figure 1 of the reference study)."""

from collections.abc import Sequence
from pathlib import Path

from earthprobe.figures.numbers import read_numbers
from earthprobe.figures.style import BLUE, GREY, new_figure, note, save, short


def run(*, csv: Path, images: Sequence[Path]) -> None:
    """Draws one bar a class, the most frequent on top, with its count; the axis is logarithmic.

    Args:
        csv: what the step ``explore`` wrote.
        images: files ending in .png, .pdf or .svg.
    """
    table = read_numbers(csv).sort(["train", "class"], descending=[True, False])
    counts = table["train"].to_list()
    figure = new_figure(0.7 + 0.165 * len(counts))
    axes = figure.subplots()
    places = range(len(counts))
    axes.barh(places, [max(c, 0.5) for c in counts], color=[BLUE if c else GREY for c in counts], height=0.75)
    axes.set_xscale("log")
    axes.set_xlim(0.5, max(*counts, 1) * 3)
    axes.set_yticks(places, [short(name, 48) for name in table["name"]])
    axes.set_ylim(len(counts) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    for place, count in zip(places, counts, strict=True):
        axes.text(max(count, 0.5) * 1.08, place, f"{count:,}" if count else "none", va="center", fontsize=6.5)
    axes.set_xlabel("patches of the train split (logarithmic)")
    note(figure, table["data"][0])
    save(figure, images)
