"""What all figures share: sizes, fonts, colours, and the line that says what the data are."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from earthprobe.storage.files import replacing

WIDTH = 7.2
"""Inches across two columns of a paper; fonts are readable at this width."""

# Okabe and Ito's palette (2008), told apart with any common colour blindness.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, BLACK)
MARKERS = "os^Dv<>P"
"""One a series, so that no figure needs its colours."""

GREY = "#B0B0B0"

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


def beside(number: int, count: int, width: float = 0.5) -> float:
    """Where one of several values stands on its line, so that none hides another."""
    return width * ((number + 0.5) / count - 0.5)


def note(figure: Figure, *parts: str) -> None:
    """Writes below the figure what its data are."""
    text = "; ".join(part for part in dict.fromkeys(parts) if part)
    figure.supxlabel(text, fontsize=6.5, color="#555555", x=0.01, ha="left")


def save(figure: Figure, outputs: Sequence[Path], dpi: int = 200) -> None:
    """Writes the figure once for each output, in the format of its ending."""
    for output in outputs:
        with replacing(output) as part, part.open("wb") as stream:
            # No date, so that the same data give the same file.
            metadata = {"CreationDate": None} if output.suffix == ".pdf" else None
            figure.savefig(stream, format=output.suffix[1:], metadata=metadata, dpi=dpi)


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
