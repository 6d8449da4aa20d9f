"""What all figures share: sizes, fonts, colours, and the line that says what the data are."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from earthprobe.storage.files import replacing

WIDTH = 7.2
"""Inches across two columns of a paper; fonts are readable at this width."""
COLUMN = 3.5
"""Inches across one column."""
PAGE = 9.5
"""Inches of a column's height, which no figure should need more of."""

# Okabe and Ito's palette (2008), told apart with any common colour blindness. Its yellow, which white paper swallows,
# is left out.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#000000",
)
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BLACK)
MARKERS = "os^Dv<>P"
"""One a series, so that no figure needs its colours; of another number than these, so that pairs come back late."""

GREY = "#B0B0B0"
GRID = "#E6E6E6"
DPI = 300
"""Dots per inch of a raster, as papers ask for."""
LETTERS = 20
"""Letters of the smallest print that an inch holds."""
QUALITY = 80
"""Of a JPEG, in which pictures of patches stand."""

mpl.rcParams.update(
    {
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7.5,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "pdf.fonttype": 42,  # text in a PDF stays text
        "image.composite_image": False,  # pictures of patches stay theirs in a PDF, and need no time to be blended
    }
)


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, in inches, that needs no display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


class Look(NamedTuple):
    """How a series is drawn.

    Attributes:
        colour: of its line and markers.
        marker: of its points.
        style: of its line.
    """

    colour: str
    marker: str
    style: str | tuple[int, tuple[int, ...]]


def look(number: int) -> Look:
    """The look of a series, by its number: no two of the first 56 are alike."""
    style = "-" if number < len(SERIES) else "--"
    return Look(SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)], style)


def span(values: npt.ArrayLike, least: float) -> tuple[float, float]:
    """Limits of an axis around values, no nearer than `least`: what is no difference must not look like one."""
    low, high = float(np.min(values)), float(np.max(values))
    margin = max(least - (high - low), 0.12 * (high - low)) / 2
    return low - margin, high + margin


def rule(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Draws the grid behind all else."""
    axes.grid(axis=axis, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def key(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """Writes above the figure what its series are, where it covers none of them."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = min(columns, len(labels))
        figure.legend(handles, labels, loc="outside upper center", ncols=columns, handletextpad=0.4, columnspacing=1.4)


def beside(number: int, count: int, width: float = 0.5) -> float:
    """Where one of several values stands on its line, so that none hides another."""
    return width * ((number + 0.5) / count - 0.5)


def note(figure: Figure, *parts: str) -> None:
    """Writes below the figure what its data are."""
    text = "; ".join(part for part in dict.fromkeys(parts) if part)
    text = textwrap.fill(text, int(LETTERS * figure.get_figwidth()))
    figure.supxlabel(text, fontsize=6.5, color="#555555", x=0.01, ha="left")


def save(figure: Figure, outputs: Sequence[Path], dpi: int = DPI) -> None:
    """Writes the figure once for each output, in the format of its ending."""
    for output in outputs:
        kind = output.suffix[1:]
        with replacing(output) as part, part.open("wb") as stream:
            if kind in ("png", "jpg"):
                _write_raster(figure, stream, kind, dpi)
                continue
            # No date, so that the same data give the same file.
            metadata = {"CreationDate": None} if kind == "pdf" else {"Date": None}
            figure.savefig(stream, format=kind, metadata=metadata, dpi=dpi)
        figure.set_layout_engine("none")  # everything has its place now, and finding it takes a while


def _write_raster(figure: Figure, stream: IO[bytes], kind: str, dpi: int) -> None:
    """Writes pixels in little room: JPEG, or PNG of 256 colours, which hold those of lines and text."""
    with io.BytesIO() as drawn:
        figure.savefig(drawn, format="rgba", dpi=dpi)
        size = (int(figure.get_figwidth() * dpi), int(figure.get_figheight() * dpi))
        picture = Image.frombuffer("RGBA", size, drawn.getvalue()).convert("RGB")
    if kind == "jpg":
        picture.save(stream, "jpeg", quality=QUALITY, optimize=True, dpi=(dpi, dpi))
    else:
        few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(stream, "png", compress_level=8, dpi=(dpi, dpi))  # 9 takes twice as long for 4 % less


def count(number: int, one: str, more: str) -> str:
    """A number and its noun: 1 class, 2 classes."""
    return f"{number:,} {one if number == 1 else more}"


def short(name: str, width: int = 34) -> str:
    """A class name that fits a label: the long ones lose their qualification."""
    name = name.removesuffix(", with significant areas of natural vegetation").removesuffix(" and associated land")
    return name if len(name) <= width else f"{name[: width - 1].rstrip()}…"


def wrapped(name: str, width: int, lines: int = 2) -> str:
    """A class name on a few short lines."""
    return "\n".join(textwrap.wrap(short(name, 60), width, max_lines=lines, placeholder=" …"))
