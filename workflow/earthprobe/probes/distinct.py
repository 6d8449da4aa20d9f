"""Which rows of a matrix are equal, found by a table of hashes; compiled, and so by itself."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]

FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""2^64 by the golden ratio, which spreads what it is multiplied by over all bits (Knuth, volume 3, 6.4)."""


def distinct_rows(rows: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], Ints]:
    """What ``np.unique(rows, axis=0, return_inverse=True)`` gives, without sorting, and without Python's lock.

    Args:
        rows: shape (rows, columns), none of them -0 or NaN.

    Returns:
        - the rows that differ, in the order of their first column, then of their second, and so on;
        - of each row, which it is.
    """
    firsts, which = _groups(np.ascontiguousarray(rows).view(np.uint64))
    found = rows[firsts]
    order = np.lexsort(found.T[::-1])
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return found[order], place[which]


@numba.njit(cache=True, nogil=True)
def _groups(rows: npt.NDArray[np.uint64]) -> Any:
    """The first row of each kind, and of each row its kind by the number of that."""
    size = 16
    while size < 2 * len(rows):
        size *= 2
    table = np.full(size, -1, np.int32)
    firsts = np.empty(len(rows), np.int32)
    which = np.empty(len(rows), np.int32)
    kinds = 0
    for row in range(len(rows)):
        mixed = np.uint64(0)
        for word in rows[row]:
            mixed = (mixed ^ word) * FACTOR
            mixed ^= mixed >> np.uint64(29)
        slot = np.int64(mixed & np.uint64(size - 1))
        while table[slot] >= 0 and not np.array_equal(rows[firsts[table[slot]]], rows[row]):
            slot = (slot + 1) % size
        if table[slot] < 0:
            table[slot] = kinds
            firsts[kinds] = row
            kinds += 1
        which[row] = table[slot]
    return firsts[:kinds], which
