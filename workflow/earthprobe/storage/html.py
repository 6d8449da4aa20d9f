"""Tables as pages for the report."""

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

STYLE = """
body { font: 14px sans-serif; margin: 1.5em; } table { border-collapse: collapse; }
table.part td:nth-child(n+3) { text-align: right; }
th, td { padding: .25em .6em; text-align: left; border-bottom: 1px solid #ddd; }
"""


class Part(NamedTuple):
    """A table of its own below the first.

    Attributes:
        title: its heading.
        notes: what to know of it.
        heading: of its columns.
        body: its rows.
    """

    title: str
    notes: Sequence[str]
    heading: Sequence[str]
    body: Sequence[Sequence[str]]


def page(
    title: str,
    notes: Sequence[str],
    heading: Sequence[str],
    body: Sequence[tuple[str, Sequence[object]]],
    style: str,
    below: Sequence[str] = (),
    parts: Sequence[Part] = (),
) -> str:
    """A page with a table.

    Args:
        title: its heading.
        notes: paragraphs above the table, in which ``**`` stands around what is strong.
        heading: of each column.
        body: of each row the name of its style, or none, and its cells.
        style: rules beside those of all pages.
        below: paragraphs below the table.
        parts: further tables.
    """
    strong = re.compile(r"[*]{2}(.*?)[*]{2}")

    def whole(text: str) -> str:
        # An interval stays on one line.
        return re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\u00a0"), text)

    def row(tag: str, cells: Sequence[object], kind: str = "") -> str:
        inner = "".join(f"<{tag}>{whole(escape(str(cell)))}</{tag}>" for cell in cells)
        return f"<tr{f' class={kind}' if kind else ''}>{inner}</tr>"

    def paragraphs(texts: Sequence[str]) -> list[str]:
        return ["<p>" + strong.sub(r"<strong>\1</strong>", escape(text)) + "</p>" for text in texts]

    lines = [f"<h1>{escape(title)}</h1>", *paragraphs(notes), "<table>", row("th", heading)]
    lines += [row("td", cells, kind) for kind, cells in body]
    lines += ["</table>", *paragraphs(below)]
    for part in parts:
        lines += [
            f"<h2>{escape(part.title)}</h2>",
            *paragraphs(part.notes),
            '<table class="part">',
            row("th", part.heading),
        ]
        lines += [*(row("td", cells) for cells in part.body), "</table>"]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}{style}</style>'
    return f"<!doctype html><html>{head}<body>" + "\n".join(lines) + "</body></html>\n"
