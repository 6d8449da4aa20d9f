"""One page that holds its data, and opens from a disk without a network."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

TYPES = {
    "uint8": "Uint8Array",
    "uint16": "Uint16Array",
    "uint32": "Uint32Array",
    "int16": "Int16Array",
    "int32": "Int32Array",
    "float32": "Float32Array",
}
"""What JavaScript calls them; both are little-endian."""


def block(name: str, content: bytes, *, deflated: bool = False) -> str:
    """Bytes as an element that a browser keeps and does not read.

    Args:
        name: its id is `data-` and this.
        content: the bytes.
        deflated: whether they are made smaller; pictures are already.
    """
    encoded = base64.b64encode(zlib.compress(content) if deflated else content).decode()
    return f'<script type="text/plain" id="data-{escape(name)}">{encoded}</script>'


def columns(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[dict[str, str], list[str]]:
    """Arrays as elements of a page.

    Args:
        arrays: by name.

    Returns:
        The type of each as JavaScript calls it, and the elements.
    """
    types = {name: TYPES[str(array.dtype)] for name, array in arrays.items()}
    return types, [block(name, np.ascontiguousarray(array).tobytes(), deflated=True) for name, array in arrays.items()]


def as_data(value: Any) -> str:
    """A value as JSON inside an element: no text of it ends the element early."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="data-meta">{text}</script>'


def assembled(title: str, style: str, body: str, elements: Sequence[str], script: str) -> str:
    """The whole page.

    Args:
        title: of the page.
        style: its CSS.
        body: its HTML.
        elements: its data.
        script: what it does.
    """
    # Nothing is fetched: a browser that would refuses, and says so.
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' blob:; img-src data: blob:"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{style}</style>'
    )
    start = f'<!doctype html>\n<html lang="en"><head>{head}</head><body>'
    return "\n".join([start, body, *elements, f"<script>{script}</script></body></html>", ""])
