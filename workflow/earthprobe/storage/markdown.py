"""Tables as Markdown."""

from collections.abc import Collection, Sequence


def grid(heading: Sequence[str], body: Sequence[Sequence[str]], numeric: Collection[int]) -> str:
    """A table whose columns line up.

    Args:
        heading: of each column.
        body: rows of cells.
        numeric: the numbers of the columns that are set to the right.
    """
    widths = [max(len(row[i]) for row in (heading, *body)) for i in range(len(heading))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            c.rjust(w) if i in numeric else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 1) + ":" if i in numeric else "-" * (w + 2) for i, w in enumerate(widths))
    return "\n".join([line(heading), f"|{rule}|", *(line(row) for row in body)])
