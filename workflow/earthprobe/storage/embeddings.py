"""Reading single rows of a feature set, without holding all of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from earthprobe.storage.parquet import parquet

BATCH = 8192  # patches; 25 MB of 768 floats


def embedding_schema(dimensions: int) -> pa.Schema:
    """The columns of a feature set. That no value can be null makes it faster to read."""
    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), dimensions)
    return pa.schema([("patch_id", pa.string()), pa.field("embedding", vector, nullable=False)])


def read_embeddings(features: Path, selections: Sequence[npt.NDArray[np.integer]]) -> list[npt.NDArray[np.float32]]:
    """Reads several selections of rows in one pass; memory is that of the result.

    Args:
        features: the merged embeddings.
        selections: row numbers, each ascending.

    Returns:
        A matrix for each selection, shape (rows, dimensions).
    """
    if any((np.diff(rows) <= 0).any() for rows in selections):
        raise ValueError("row numbers must ascend")
    with parquet(features) as file:
        dimensions = file.schema_arrow.field("embedding").type.list_size
        results = [np.empty((len(rows), dimensions), dtype=np.float32) for rows in selections]
        start = 0
        for batch in file.iter_batches(batch_size=BATCH, columns=["embedding"]):
            vectors = batch["embedding"].flatten().to_numpy().reshape(len(batch), dimensions)
            for rows, result in zip(selections, results, strict=True):
                first, last = np.searchsorted(rows, [start, start + len(batch)])
                result[first:last] = vectors[rows[first:last] - start]
            start += len(batch)
    return results
