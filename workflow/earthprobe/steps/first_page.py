"""Make the first page of the report: the results in short, a figure, and a way to the explorer."""

import base64
import re
from html import escape
from pathlib import Path

from earthprobe.storage.files import write_text

NAME = "earthprobe-first-page"
STYLE = """
.NAME { font: 15px/1.45 sans-serif; color: #222; max-width: 60rem; padding: .5em; }
.NAME h1 { font-size: 1.5em; font-weight: bold; margin: 0 0 .4em; }
.NAME h2 { font-size: 1.1em; font-weight: bold; margin: 1em 0 .3em; }
.NAME ul { list-style: disc; padding-left: 1.3em; margin: 0; }
.NAME li { margin: .25em 0; }
.NAME button { background: #0072b2; color: #fff; border-radius: 4px; padding: .35em .9em; margin: 0 0 .4em; }
.NAME img { display: block; width: 100%; max-width: 54rem; margin: 1em 0; }
.max-w-lg:has(.NAME) { max-width: 62rem; }
.items-start:has(.NAME) { flex-wrap: wrap; }
.items-center:has(.NAME) { align-items: flex-start; }
"""
"""The page's own, and three that give it room in the report, where it stands beside the graph of the rules."""


CAPTION = (
    "Differences between rows in the metric that rows are compared by, with 95 % intervals; filled where the two are"
    " told apart."
)


OPEN = (
    "const text = atob(document.getElementById('NAME-explorer').textContent);"
    "const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));"
    "window.open(window.URL.createObjectURL(new Blob([bytes], { type: 'text/html' })))"
)
"""What the button does. Among the report's other pages a browser would show nothing: they are addresses that hold their
content, of which Chromium takes 2 MB."""


def run(*, summary: Path, figure: Path, explorer: Path, title: str, output: Path, opening: Path) -> None:
    """Writes a page that needs no other file.

    Args:
        summary: what the step ``summary`` wrote.
        figure: PNG of the comparisons of the first label set, which stands below its lines.
        explorer: the page of patches.
        title: of the page.
        output: HTML, a part of a page that a browser also shows alone.
        opening: the same with the explorer inside, and a button that opens it: what the report begins with.
    """
    picture = base64.b64encode(figure.read_bytes()).decode()
    image = f'<img alt="{CAPTION}" src="data:image/png;base64,{picture}">'
    first, *others = (_part(part) for part in summary.read_text(encoding="utf-8").split("\n## ")[1:])
    head = f'<meta charset="utf-8"><style>{STYLE.replace("NAME", NAME)}</style>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", first, image, *others])
    write_text(output, f'{head}\n<div class="{NAME}">\n{body}\n</div>\n')
    held = base64.b64encode(explorer.read_bytes()).decode()
    button = f'<p><button onclick="{OPEN.replace("NAME", NAME)}">Look at the patches: open the explorer</button></p>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", button, first, image, *others])
    # No script element: the report has this text inside one, which the first end of a script would end.
    text = f'<div hidden id="{NAME}-explorer">{held}</div>'
    write_text(opening, f'{head}\n<div class="{NAME}">\n{body}\n{text}\n</div>\n')


def _part(text: str) -> str:
    heading, *lines = filter(None, text.splitlines())
    items = [re.sub(r"[*]{2}(.*?)[*]{2}", r"<strong>\1</strong>", escape(line.removeprefix("- "))) for line in lines]
    return "\n".join([f"<h2>{escape(heading)}</h2>", "<ul>", *(f"<li>{item}</li>" for item in items), "</ul>"])
