"""Vectors from elsewhere."""

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from earthprobe.errors import UserError
from earthprobe.models.vectors import Floats, Vectors
from earthprobe.storage.files import sha256


def vectors(
    patches: pl.DataFrame,
    *,
    path: str,
    id: str = "patch_id",  # noqa: A002 - what users call it
    vector: str = "embedding",
    source: str = "",
    max_missing: float = 0.02,
) -> Vectors:
    """The vectors of a file for the patches of an archive.

    Args:
        patches: ``patches.parquet``.
        path: a Parquet, NPZ or safetensors file.
        id: what the ids are called there.
        vector: what the vectors are called there.
        source: what made them.
        max_missing: the largest share of patches without a vector to go on with.

    Raises:
        UserError: the file cannot be read, an id is there twice, or too many patches have no vector.
    """
    readers = {".parquet": _parquet, ".npz": _npz, ".safetensors": _safetensors}
    read = readers.get(Path(path).suffix)
    if read is None:
        raise UserError(f"{path}: the name of a file of vectors ends in {', '.join(readers)}")
    try:
        ids, matrix = read(path, id, vector)
    except (OSError, ValueError, pa.ArrowException, SafetensorError, KeyError, BadZipFile) as error:
        raise UserError(f"{path} cannot be read as ids `{id}` and vectors `{vector}`: {error}") from error
    if matrix.ndim != 2 or len(matrix) != len(ids):
        raise UserError(f"{path}: {len(ids)} ids, but vectors of shape {matrix.shape}: one row for each id is needed")
    rows = {patch_id: row for row, patch_id in enumerate(ids)}
    if len(rows) < len(ids):
        twice = next(patch_id for row, patch_id in enumerate(ids) if rows[patch_id] != row)
        raise UserError(f"{path}: {twice} is there twice ({len(ids) - len(rows)} such rows): keep one")
    known = [patch_id for patch_id in patches["patch_id"] if patch_id in rows]
    missing = [patch_id for patch_id in patches["patch_id"] if patch_id not in rows]
    if not known or len(missing) > max_missing * len(patches):
        found = f"; it has ids such as {ids[0]}" if len(ids) else ""
        raise UserError(
            f"{path} has no vector of {len(missing)} of {len(patches)} patches, more than max_missing"
            f" ({max_missing:.1%}) allows; the first is {missing[0]}{found}"
        )
    chosen = matrix[[rows[patch_id] for patch_id in known]]
    return Vectors(known, chosen, {"source": source or Path(path).name, "sha256": sha256(Path(path))}, missing)


def _parquet(path: str, id_name: str, vector: str) -> tuple[list[str], Floats]:
    table = pq.read_table(path, columns=[id_name, vector])
    column = table[vector].combine_chunks()
    if not (pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type) or
            pa.types.is_large_list(column.type)):  # fmt: skip
        raise ValueError(f"column {vector} holds {column.type}, not lists of numbers")
    values = column.flatten().to_numpy(zero_copy_only=False)
    if column.null_count or len(pc.unique(pc.list_value_length(column))) > 1:
        raise ValueError(f"the lists of column {vector} differ in length")
    return [str(i) for i in table[id_name].to_pylist()], _floats(values.reshape(len(table), -1))


def _npz(path: str, id_name: str, vector: str) -> tuple[list[str], Floats]:
    arrays = np.load(path, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise ValueError("it holds one array alone")
    with arrays:
        return [str(i) for i in arrays[id_name]], _floats(arrays[vector])


def _safetensors(path: str, id_name: str, vector: str) -> tuple[list[str], Floats]:
    with safe_open(path, framework="numpy") as stored:
        metadata: dict[str, str] = stored.metadata() or {}
        return [str(i) for i in json.loads(metadata[id_name])], _floats(stored.get_tensor(vector))


def _floats(values: Any) -> Floats:
    matrix: Floats = np.asarray(values).astype(np.float32)
    if not np.isfinite(matrix).all():
        raise ValueError("a vector is not finite")
    return matrix
