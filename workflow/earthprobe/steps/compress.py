"""Make the vectors of a feature set smaller: fewer figures by a PCA of the train split, or fewer bytes a figure."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.errors import UserError
from earthprobe.storage.embeddings import decoded
from earthprobe.storage.files import replacing
from earthprobe.storage.geoparquet import Places
from earthprobe.storage.parquet import check_ids, embedding_schema, parquet, read_metadata, with_metadata

Floats = npt.NDArray[np.float32]

log = logging.getLogger(__name__)

ROW_GROUP = 8192  # patches, as merged ones have

STEPS = 255
"""Steps between the least and the largest value of a figure that is stored as int8."""

COMPRESSION: dict[str, dict[str, Any]] = {
    "float32": {"compression": "none"},
    "float16": {"compression": "none"},
    # Parquet keeps a byte as four, of which the three that are zero lie side by side and take no room.
    "int8": {"compression": "zstd", "use_byte_stream_split": ["embedding.list.element"]},
}


def run(
    *,
    features: Path,
    patches: Path,
    pca: int | None = None,
    store: Literal["float32", "float16", "int8"] = "float32",
    output: Path,
) -> None:
    """Writes smaller vectors of the same patches; memory does not grow with the archive.

    Args:
        features: the merged embeddings.
        patches: ``patches.parquet``, which says which patches are of the train split.
        pca: how many principal components to keep, of the train split; None keeps all figures.
        store: what a figure is stored as; int8 has its own scale for each figure, from the train split.
        output: the columns of ``features``; how to read int8 back is in the metadata.

    Raises:
        UserError: there are fewer figures, or fewer train patches, than components.
    """
    split = dict(pl.read_parquet(patches, columns=["patch_id", "split"]).iter_rows())
    metadata = {key: value for key, value in read_metadata(features).items() if key != "earthprobe_version"}
    rotation: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
    if pca is not None:
        mean, covariance, count = _moments(features, split)
        if pca > min(len(mean), count - 1):
            raise UserError(
                f"{features} has vectors of {len(mean)} figures for {count} train patches: set pca to"
                f" {min(len(mean), count - 1)} at the most"
            )
        values, vectors = np.linalg.eigh(covariance)
        rotation = mean, vectors[:, ::-1][:, :pca]
        metadata["pca"] = {"components": pca, "explained": float(values[::-1][:pca].sum() / values.sum())}
        log.info("%d components explain %.1f %% of the variance", pca, 100 * metadata["pca"]["explained"])

    def vectors_of() -> Iterator[tuple[list[str], Floats]]:
        for ids, matrix in _batches(features):
            yield ids, matrix if rotation is None else ((matrix - rotation[0]) @ rotation[1]).astype(np.float32)

    metadata["store"] = store
    low = scale = None
    if store == "int8":
        low, high = _range(vectors_of(), split)
        scale = np.where(high > low, (high - low) / STEPS, 1).astype(np.float32)
        metadata["quantization"] = {"offset": low.tolist(), "scale": scale.tolist()}
    ids: list[str] = []
    places = Places(patches)
    with replacing(output) as part:
        writer: pq.ParquetWriter | None = None
        try:
            for batch_ids, matrix in vectors_of():
                if writer is None:
                    schema = with_metadata(embedding_schema(matrix.shape[1], store), metadata)
                    writer = pq.ParquetWriter(part, places.schema(schema), use_dictionary=False, **COMPRESSION[store])
                stored = _stored(matrix, store, metadata)
                column = pa.FixedSizeListArray.from_arrays(
                    pa.array(stored.ravel()), type=writer.schema.field("embedding").type
                )
                writer.write_table(places.add(pa.table([pa.array(batch_ids), column], schema=schema)))
                ids += batch_ids
        finally:
            if writer is not None:
                writer.close()
        check_ids(part, ids)


def _stored(matrix: Floats, store: str, metadata: dict[str, Any]) -> npt.NDArray[Any]:
    if store == "float16":
        if np.abs(matrix).max(initial=0) > np.finfo(np.float16).max:
            raise UserError("store: float16 holds no figure above 65,504, and some are: take float32 or int8")
        return matrix.astype(np.float16)
    if store == "float32":
        return matrix
    offset, scale = (np.array(metadata["quantization"][key], dtype=np.float32) for key in ("offset", "scale"))
    # What val and test have beyond the range of train is set to its end.
    steps: npt.NDArray[np.uint8] = np.rint((matrix - offset) / scale).clip(0, STEPS).astype(np.uint8)
    return steps


def _batches(features: Path) -> Iterator[tuple[list[str], Floats]]:
    with parquet(features) as file:
        for batch in file.iter_batches(batch_size=ROW_GROUP):
            yield batch["patch_id"].to_pylist(), decoded(batch["embedding"], {})


def _train(batches: Iterator[tuple[list[str], Floats]], split: dict[str, str]) -> Iterator[Floats]:
    for ids, matrix in batches:
        yield matrix[[split[patch_id] == "train" for patch_id in ids]]


def _moments(features: Path, split: dict[str, str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
    """Mean, covariance and number of the train patches' vectors."""
    total: Any = 0.0
    products: Any = 0.0
    count = 0
    origin: npt.NDArray[np.float64] | None = None
    for matrix in _train(_batches(features), split):
        if not len(matrix):
            continue
        if origin is None:  # sums of differences from a near point keep their digits
            origin = matrix.mean(axis=0, dtype=np.float64)
        centred = matrix - origin
        total, products, count = total + centred.sum(axis=0), products + centred.T @ centred, count + len(matrix)
    if origin is None:
        raise UserError(f"{features} holds no patch of the train split")
    shift = total / count
    return origin + shift, products / count - np.outer(shift, shift), count


def _range(batches: Iterator[tuple[list[str], Floats]], split: dict[str, str]) -> tuple[Floats, Floats]:
    """The least and the largest value of each figure over the train split."""
    found = [(m.min(axis=0), m.max(axis=0)) for m in _train(batches, split) if len(m)]
    return np.min([low for low, _ in found], axis=0), np.max([high for _, high in found], axis=0)
