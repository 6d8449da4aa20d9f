"""Reading the pixels of shards, of one sensor or of both, as a model or a picture needs them."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from earthprobe.sensors import SIZE
from earthprobe.storage.parquet import parquet, read_metadata

Floats = npt.NDArray[np.float32]


def room_for(shape: tuple[int, ...]) -> Floats:
    """Fresh memory."""
    return np.empty(shape, dtype=np.float32)


def read_shards(
    paths: Sequence[Path], bands: Sequence[str], batch_size: int, room: Callable[[tuple[int, ...]], Floats] = room_for
) -> Iterator[tuple[list[str], Floats]]:
    """Yields batches of the patches of a shard, ordered by ``patch_id``, without those that a sensor lacks.

    Args:
        paths: the shard's files, one a sensor.
        bands: the bands to read, in this order.
        batch_size: patches a batch; the last one may have fewer.
        room: memory for the pixels of a batch, of this shape. What was used before is faster than fresh memory.

    Yields:
        The patches' ids and their pixels in the bands' units, shape (batch, bands, size, size), of BigEarthNet 120.
        Bands with fewer pixels are resampled, bilinear.
    """
    size = size_of(paths)
    with ExitStack() as stack:
        files = [stack.enter_context(parquet(path)) for path in paths]
        kept = _in_all(files) if len(files) > 1 else None
        streams = [_batches(file, bands, batch_size, kept) for file in files]
        pool = stack.enter_context(ThreadPoolExecutor(min(len(bands), pa.cpu_count())))
        for tables in zip(*streams, strict=True):
            pixels = room((len(tables[0]), len(bands), size, size))
            held = [next(table[band] for table in tables if band in table.column_names) for band in bands]
            for filled in [pool.submit(_fill, *pair) for pair in zip(held, pixels.swapaxes(0, 1), strict=True)]:
                filled.result()
            yield tables[0]["patch_id"].to_pylist(), pixels


def size_of(paths: Sequence[Path]) -> int:
    """Pixels along a side of a patch, in its finest band, by the metadata of shards."""
    sides: list[int] = [side for path in paths for side, _ in read_metadata(path)["shape"].values()]
    return max(sides)


def read_patches(
    path: Path, wanted: Collection[str], bands: Collection[str] | None = None
) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """Reads single patches of a shard: only the row groups that hold one of them.

    Args:
        path: the shard.
        wanted: ids of patches.
        bands: those to read where the shard has them all; else, and where none are given, all.

    Returns:
        patch_id -> band -> pixels as they are stored, for those of ``wanted`` that the shard holds.
    """
    found: dict[str, dict[str, npt.NDArray[Any]]] = {}
    with parquet(path) as file:
        there = [name for name in file.schema_arrow.names if name != "patch_id"]
        bands = list(bands) if bands and set(bands) <= set(there) else there
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["patch_id"])["patch_id"].to_pylist()
            rows = [row for row, patch_id in enumerate(ids) if patch_id in wanted]
            if rows:
                table = file.read_row_group(group, columns=bands).take(rows)
                planes = {band: _planes(table[band]) for band in bands}
                found |= {ids[row]: {band: planes[band][i] for band in bands} for i, row in enumerate(rows)}
    return found


def resample(planes: npt.NDArray[Any], size: int = SIZE) -> npt.NDArray[Any]:
    """Brings a band to other pixels, bilinear, each pixel where its centre is, as GDAL does it.

    Args:
        planes: shape (batch, size, size).
        size: pixels along a side afterwards.
    """
    if planes.shape[-1] == size:
        return planes
    import torch  # takes seconds, which pictures need not wait for
    import torch.nn.functional as F  # noqa: N812

    images = torch.from_numpy(planes.astype(np.float32)).unsqueeze(1)
    resampled: npt.NDArray[np.float32] = F.interpolate(images, size=(size, size), mode="bilinear").squeeze(1).numpy()
    return resampled


def _fill(column: pa.ChunkedArray, out: Floats) -> None:
    """Writes a band's pixels where they belong, shape (batch, size, size)."""
    planes = _planes(column)
    if planes.dtype == np.uint16 and out.shape[-1] == 2 * planes.shape[-1]:
        from earthprobe.storage.doubling import double  # numba takes time to import

        double(planes, out)  # a fifth of torch's time, and the same sums
    else:
        out[:] = resample(planes, out.shape[-1])


def _in_all(files: Sequence[pq.ParquetFile]) -> pa.Array:
    """The ids that all files hold."""
    first, *others = (file.read(columns=["patch_id"])["patch_id"].combine_chunks() for file in files)
    for other in others:
        first = first.filter(pc.is_in(first, other))
    return first


def _batches(file: pq.ParquetFile, bands: Sequence[str], batch_size: int, kept: pa.Array | None) -> Iterator[pa.Table]:
    """A file's rows, of these ids if some are given, always ``batch_size`` of them but for the last."""
    columns = ["patch_id", *(band for band in bands if band in file.schema_arrow.names)]
    waiting: pa.Table | None = None
    for batch in file.iter_batches(batch_size=batch_size, columns=columns):
        rows = pa.table(batch) if kept is None else pa.table(batch.filter(pc.is_in(batch["patch_id"], kept)))
        waiting = rows if waiting is None or not len(waiting) else pa.concat_tables([waiting, rows])
        while len(waiting) >= batch_size:
            yield waiting.slice(0, batch_size)
            waiting = waiting.slice(batch_size)
    if waiting is not None and len(waiting):
        yield waiting


def _planes(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    size = math.isqrt(column.type.list_size)
    values: npt.NDArray[Any] = column.combine_chunks().flatten().to_numpy()
    return values.reshape(-1, size, size)
