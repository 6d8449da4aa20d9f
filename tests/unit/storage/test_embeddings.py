from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.storage.embeddings import read_embeddings


def test_rows_that_do_not_ascend_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="must ascend"):
        read_embeddings(tmp_path / "x.parquet", [np.array([1, 3, 2])])


@pytest.mark.parametrize("row_group", [7, 100])
def test_selected_rows_in_one_pass(tmp_path: Path, row_group: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("earthprobe.storage.embeddings.BATCH", 10)
    vectors = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 3)
    pq.write_table(pa.table({"embedding": column}), tmp_path / "x.parquet", row_group_size=row_group)
    selections = [np.arange(0, 100, 3), np.array([], dtype=np.int64), np.array([99]), np.arange(100)]
    for rows, got in zip(selections, read_embeddings(tmp_path / "x.parquet", selections), strict=True):
        np.testing.assert_array_equal(got, vectors[rows])
        assert got.flags.writeable
