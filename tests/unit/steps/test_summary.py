"""The results in short, and the page that the report opens with."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

from earthprobe.steps import first_page
from earthprobe.steps import summary as step
from earthprobe.steps.compare import COLUMNS
from earthprobe.storage.files import write_csv

from tests.unit.test_summary import result

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def written(folder: Path) -> Path:
    """Of two label sets, in whose second another row is best."""
    rows = [("dofa", "linear"), ("twin", "linear")]
    paths = []
    for label_set in ("19", "43"):
        for features, probe in rows:
            found = result(f"{features}/{probe}")
            if label_set == "43":
                found["test"]["map_macro"] = 1 - found["test"]["map_macro"]
            paths.append(folder / f"{label_set}_{features}.json")
            paths[-1].write_text(json.dumps(found))
        write_csv(folder / f"{label_set}.csv", COLUMNS, [])
    step.run(
        label_sets=["19", "43"],
        features=[features for features, _ in rows],
        probes=[probe for _, probe in rows],
        metrics=paths,
        comparisons=[folder / "19.csv", folder / "43.csv"],
        output=folder / "summary.md",
    )
    return folder / "summary.md"


def test_a_part_a_label_set(tmp_path: Path):
    text = written(tmp_path).read_text()
    parts = text.split("\n## ")
    assert parts[0] == "# Results in short\n"
    for part, (title, best) in zip(parts[1:], (("19 classes", "dofa"), ("43 classes", "twin")), strict=True):
        lines = part.splitlines()
        assert lines[0] == title
        assert len([line for line in lines if line.startswith("- **")]) == 5
        assert f"**Best:** {best}/linear" in lines[2]


class Page(HTMLParser):
    """The tags of a page, and the text within."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_first_page_holds_lines_and_figure(tmp_path: Path):
    (tmp_path / "c.png").write_bytes(PIXEL)
    (tmp_path / "explorer.html").write_bytes(b"<html>patches</html>")
    first_page.run(
        summary=written(tmp_path),
        figure=tmp_path / "c.png",
        explorer=tmp_path / "explorer.html",
        title="a < b",
        output=tmp_path / "summary.html",
        opening=tmp_path / "opening.html",
    )
    opening = (tmp_path / "opening.html").read_text()
    held = re.search(r'<div hidden id="earthprobe-first-page-explorer">([^<]*)</div>', opening)
    assert held
    assert "</script" not in opening
    assert base64.b64decode(held[1]) == b"<html>patches</html>"
    assert "explorer" not in (tmp_path / "summary.html").read_text()
    page = Page((tmp_path / "summary.html").read_text())
    names = [tag for tag, _ in page.tags]
    assert names.count("li") == 10
    assert names.index("img") > names.index("li")
    assert names[names.index("img") :].count("li") == 5  # of the second label set
    (source,) = (attributes["src"] for tag, attributes in page.tags if tag == "img")
    assert source is not None
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == PIXEL
    assert "a < b" in page.text
    assert "**" not in page.text
    assert page.text.count("Best:") == names.count("h2") == 2
