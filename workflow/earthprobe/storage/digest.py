"""Hashes of what files hold: of the values alone, so that what a file says of itself does not count."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from earthprobe.errors import UserError
from earthprobe.storage.files import sha256
from earthprobe.storage.parquet import parquet

VECTORS = ("patch_id", "embedding")
"""Of a feature set; footprints stand beside them for readers of maps."""

ROWS = 4096  # of a batch; 13 MB of 768 floats

CHUNK = 2**22  # bytes


def of(path: Path) -> str:
    """The SHA-256 of what a file of a run holds: of vectors with their ids, of a table, of tensors, or of all bytes."""
    if path.suffix == ".safetensors":
        return of_tensors(path)
    if path.suffix != ".parquet":
        return sha256(path)
    with parquet(path) as file:
        vectors = VECTORS[1] in file.schema_arrow.names
    return of_table(path, VECTORS if vectors else None)


def of_table(path: Path, columns: Sequence[str] | None = None) -> str:
    """The SHA-256 of columns of a Parquet file: their names, types and values.

    Compression, row groups and metadata do not count; the file is read in batches.

    Args:
        path: the file.
        columns: those that count; None takes all.

    Raises:
        UserError: it cannot be read.
    """
    with parquet(path) as file:
        schema = file.schema_arrow
        names = sorted(schema.names if columns is None else columns)
        hashes = {name: _Column() for name in names}
        for batch in file.iter_batches(batch_size=ROWS, columns=names):
            for name in names:
                hashes[name].add(batch.column(name))
    text = [[name, _described(schema.field(name).type), hashes[name].digest()] for name in names]
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()


def of_tensors(path: Path) -> str:
    """The SHA-256 of a safetensors file without its metadata: names, types, shapes and values of its tensors.

    Raises:
        UserError: it is no such file.
    """
    with path.open("rb") as stream:
        try:
            header = json.loads(stream.read(min(int.from_bytes(stream.read(8), "little"), path.stat().st_size)))
        except ValueError as error:
            raise UserError(f"{path} is damaged: delete it, and run again what made it") from error
        header.pop("__metadata__", None)
        found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


class _Column:
    """The hash of a column, in whatever batches it comes: what is null, how long values are, and their bytes."""

    def __init__(self) -> None:
        self._streams = [hashlib.sha256() for _ in ("valid", "lengths", "values")]
        self._below: dict[str, _Column] = {}

    def add(self, array: pa.Array) -> None:
        """Adds values, nested ones column by column."""
        valid, lengths, values = self._streams
        valid.update(_bytes(array.is_valid()))
        array, kind = array.drop_null(), array.type
        if pa.types.is_struct(kind):
            for field, part in zip(kind, array.flatten(), strict=True):
                self._below.setdefault(field.name, _Column()).add(part)
        elif _is_list(kind):
            lengths.update(_bytes(pc.list_value_length(array)))
            self._below.setdefault("", _Column()).add(array.flatten())
        elif _is_text(kind):
            content = [text.encode() if isinstance(text, str) else text for text in array.to_pylist()]
            lengths.update(np.array([len(text) for text in content], "<i8").tobytes())
            values.update(b"".join(content))
        else:
            values.update(_bytes(array))

    def digest(self) -> str:
        """Of all that was added."""
        below = [[name, column.digest()] for name, column in self._below.items()]
        return hashlib.sha256(json.dumps([[s.hexdigest() for s in self._streams], below]).encode()).hexdigest()


def _bytes(array: pa.Array) -> bytes:
    values = array.to_numpy(zero_copy_only=False)
    return bytes(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    return bool(wide or pa.types.is_string(kind) or pa.types.is_binary(kind))


def _described(kind: pa.DataType) -> str:
    """A type without the names that writers give to what a list holds, nor whether it may be null."""
    if _is_list(kind):
        return f"list of {_described(kind.value_type)}"
    if pa.types.is_struct(kind):
        return f"struct of {[[field.name, _described(field.type)] for field in kind]}"
    return str(kind).removeprefix("large_")
