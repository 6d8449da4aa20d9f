"""Writing one band of one patch as the published files have it: an uncompressed GeoTIFF in UTM.

A simulated archive has thousands of them, and rasterio takes 2 ms for each; here a file's head is made once a size and
zone, and only its corner differs.
"""

import functools
import struct

import numpy as np
import numpy.typing as npt

STRIP = 8192
"""Bytes that a strip holds at most; GDAL cuts images into strips of whole rows like this."""

SHORT, LONG, DOUBLE = 3, 4, 12
FORMS = {SHORT: "H", LONG: "I", DOUBLE: "d"}


def encode(pixels: npt.NDArray[np.uint16], west: float, north: float, metres: float, epsg: int) -> bytes:
    """A file of a band.

    Args:
        pixels: shape (rows, columns).
        west: the western edge in metres of the coordinate system.
        north: the northern edge.
        metres: a pixel's side.
        epsg: the number of the coordinate system, a projected one in metres.
    """
    head, corner = _head(*pixels.shape, metres, epsg)
    return head[:corner] + struct.pack("<2d", west, north) + head[corner + 16 :] + pixels.astype("<u2").tobytes()


@functools.lru_cache(maxsize=256)
def _head(height: int, width: int, metres: float, epsg: int) -> tuple[bytes, int]:
    """All that stands before the pixels, and where in it the western and the northern edge stand."""
    rows = min(height, max(1, STRIP // (2 * width)))
    strips = -(-height // rows)
    counts = [2 * width * min(rows, height - rows * strip) for strip in range(strips)]
    # GeoTIFF 1.1: a projected system, pixels are areas, its number, metres.
    keys = (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, epsg, 3076, 0, 1, 9001)

    def tags(offsets: list[int]) -> list[tuple[int, int, tuple[float, ...]]]:
        return [
            (256, SHORT, (width,)),
            (257, SHORT, (height,)),
            (258, SHORT, (16,)),
            (259, SHORT, (1,)),
            (262, SHORT, (1,)),
            (273, LONG, tuple(offsets)),
            (277, SHORT, (1,)),
            (278, SHORT, (rows,)),
            (279, LONG, tuple(counts)),
            (284, SHORT, (1,)),
            (339, SHORT, (1,)),
            (33550, DOUBLE, (metres, metres, 0.0)),
            (33922, DOUBLE, (0.0,) * 6),
            (34735, SHORT, keys),
        ]

    size = len(_directory(tags([0] * strips))[0])
    return _directory(tags([size + sum(counts[:strip]) for strip in range(strips)]))


def _directory(tags: list[tuple[int, int, tuple[float, ...]]]) -> tuple[bytes, int]:
    """A file's first bytes, with its directory of tags (TIFF 6.0, section 2), and where in them the place stands."""
    entries, values, corner = b"", b"", 0
    beyond = 8 + 2 + 12 * len(tags) + 4
    for number, kind, content in tags:
        packed = struct.pack(f"<{len(content)}{FORMS[kind]}", *content)
        if number == 33922:  # row, column and height of the corner, then its place
            corner = beyond + len(values) + 24
        inside = len(packed) <= 4
        entry = packed.ljust(4, b"\0") if inside else struct.pack("<I", beyond + len(values))
        entries += struct.pack("<HHI", number, kind, len(content)) + entry
        values += b"" if inside else packed + b"\0" * (len(packed) % 2)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + values, corner
