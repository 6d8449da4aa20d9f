"""A hook of mkdocs.yml: pages of the site that lie outside of docs/, and links that hold on a code host and there.

Every page keeps its links as a code host has them, from file to file. On the site they lead from page to page.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "config/README.md": "configuration.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
"""Files of the repository that are pages of the site, and what they are called there."""

LINK = re.compile(r"(?<=\]\()([^)\s#]+)")
"""The file that a link in Markdown leads to."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that lie outside of docs/."""
    for source, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(REPOSITORY / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Makes links to files of the repository links to their pages."""
    pages = {name: source for source, name in OUTSIDE.items()}
    folder = posixpath.dirname(pages.get(page.file.src_uri, f"docs/{page.file.src_uri}"))
    return LINK.sub(lambda found: led(found[1], folder), markdown)


def led(link: str, folder: str) -> str:
    """Where a link leads on the site; one that leads elsewhere stays as it is.

    Args:
        link: as a file of the repository has it.
        folder: of that file.
    """
    path = posixpath.normpath(posixpath.join(folder, link))
    return OUTSIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else link)
