"""The scores of a probe or control: which patches it scored, and what they have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.storage.parquet import check_ids, parquet, read_metadata, with_metadata

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


class Scores(NamedTuple):
    """Scores of patches.

    Attributes:
        ids: of patches; of folds each once a repeat.
        splits: ``val`` or ``test``.
        scores: a probability a class, shape (patches, classes).
        targets: which classes a patch has, the same shape.
        repeats: in which repeat a patch was scored; None without folds.
        groups: the group of each patch, the same.
    """

    ids: Sequence[str]
    splits: Sequence[str]
    scores: Floats
    targets: Bools
    repeats: Sequence[int] | None = None
    groups: Sequence[str | None] | None = None


class Test(NamedTuple):
    """The test patches, each once.

    Attributes:
        ids: of the patches.
        targets: shape (patches, classes).
        scores: shape (repeats, patches, classes); one repeat, but for folds.
    """

    ids: Sequence[str]
    targets: Bools
    scores: Floats


def write_scores(path: Path, scored: Scores, metadata: Mapping[str, Any]) -> None:
    """Writes scores with what is said of them, and reads their ids again."""
    size = scored.targets.shape[1]
    columns = {
        "patch_id": pa.array(scored.ids, pa.string()),
        "split": pa.array(scored.splits, pa.string()),
        "scores": pa.FixedSizeListArray.from_arrays(pa.array(scored.scores.ravel()), size),
        "targets": pa.FixedSizeListArray.from_arrays(pa.array(scored.targets.ravel()), size),
    }
    if scored.repeats is not None:
        columns["repeat"] = pa.array(scored.repeats, pa.uint8())
        columns["group"] = pa.array(scored.groups, pa.string())
    table = pa.table(columns)
    pq.write_table(table.cast(with_metadata(table.schema, metadata)), path, compression="zstd")
    check_ids(path, scored.ids)


def read_scores(path: Path) -> Scores:
    """Reads what :func:`write_scores` wrote."""
    with parquet(path) as file:
        table = file.read()
    size = len(read_metadata(path)["classes"])
    scores, targets = (
        table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
        for name in ("scores", "targets")
    )
    folds = (table[name].to_pylist() if name in table.column_names else None for name in ("repeat", "group"))
    return Scores(table["patch_id"].to_pylist(), table["split"].to_pylist(), scores, targets, *folds)


def of_test(scored: Scores) -> Test:
    """The test patches of some scores."""
    if scored.repeats is None:
        rows = np.array(scored.splits) == "test"
        ids = [patch_id for patch_id, there in zip(scored.ids, rows, strict=True) if there]
        return Test(ids, scored.targets[rows], scored.scores[rows][None])
    repeats = max(scored.repeats) + 1
    count = len(scored.ids) // repeats
    return Test(scored.ids[:count], scored.targets[:count], scored.scores.reshape(repeats, count, -1))
