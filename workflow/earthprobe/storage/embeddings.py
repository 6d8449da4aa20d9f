"""Reading single rows of a feature set, without holding all of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from earthprobe.storage.parquet import STORED, parquet, read_metadata

BATCH = 8192  # patches; 25 MB of 768 floats


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
        vector = file.schema_arrow.field("embedding").type
        dimensions = vector.list_size
        metadata = read_metadata(features) if vector.value_type == STORED["int8"] else {}
        results = [np.empty((len(rows), dimensions), dtype=np.float32) for rows in selections]
        start = 0
        for batch in file.iter_batches(batch_size=BATCH, columns=["embedding"]):
            vectors = decoded(batch["embedding"], metadata)
            for rows, result in zip(selections, results, strict=True):
                first, last = np.searchsorted(rows, [start, start + len(batch)])
                result[first:last] = vectors[rows[first:last] - start]
            start += len(batch)
    return results


def decoded(column: pa.Array, metadata: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Vectors as they were before they were stored in fewer bytes.

    Args:
        column: the fixed-size lists.
        metadata: of the file they are from; int8 has ``quantization``, an offset and a scale for each figure.

    Returns:
        float32, shape (patches, dimensions).
    """
    values: npt.NDArray[Any] = (
        column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
    )
    if values.dtype != np.uint8:
        plain: npt.NDArray[np.float32] = values.astype(np.float32, copy=False)
        return plain
    offset, scale = (np.array(metadata["quantization"][key], dtype=np.float32) for key in ("offset", "scale"))
    restored: npt.NDArray[np.float32] = values.astype(np.float32) * scale + offset
    return restored
