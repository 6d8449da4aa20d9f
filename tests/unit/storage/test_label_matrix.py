import polars as pl
from earthprobe.storage.label_matrix import label_matrix


def test_each_row_has_its_classes():
    labels = pl.Series([[0, 2], [], [1]], dtype=pl.List(pl.UInt8))
    assert label_matrix(labels, 3).tolist() == [[True, False, True], [False] * 3, [False, True, False]]
    assert label_matrix(labels.head(0), 3).shape == (0, 3)
