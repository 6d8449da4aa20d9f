"""Equal rows against numpy's, which sorts them all."""

import numpy as np
import pytest
from earthprobe.probes.distinct import distinct_rows


@pytest.mark.parametrize("columns", [1, 2, 43])
@pytest.mark.parametrize(("rows", "values"), [(1, 3), (500, 2), (3000, 7), (3000, 10**6)])
def test_rows_are_numpys_in_their_order(rows: int, columns: int, values: int):
    rng = np.random.default_rng(rows + columns + values)
    matrix = rng.integers(0, values, (rows, columns)) / rng.integers(1, 4, (rows, 1))
    matrix[rows // 2 :] = matrix[: rows - rows // 2]
    got, which = distinct_rows(matrix)
    want, row = np.unique(matrix, axis=0, return_inverse=True)
    assert got.tobytes() == want.tobytes()
    np.testing.assert_array_equal(which, row.ravel())
    np.testing.assert_array_equal(got[which], matrix)


def test_rows_whose_hashes_meet_are_told_apart():
    """Of 32,768 rows in 131,072 slots, several come to the same one."""
    matrix = np.arange(40_000, dtype=float).reshape(-1, 1) % 32_768
    got, which = distinct_rows(matrix)
    assert got[:, 0].tolist() == list(range(32_768))
    np.testing.assert_array_equal(which, matrix[:, 0])
