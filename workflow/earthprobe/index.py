"""index: the labels of every patch, beside its split and its place."""

import functools
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.archive import Source, open_source
from earthprobe.errors import UserError
from earthprobe.files import read_metadata, read_table, replacing, with_metadata
from earthprobe.labels import CLASSES_19, CLASSES_43, INDEX_19, INDEX_43, indices_19, indices_of
from earthprobe.layout import SPLITS

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        ("patch_id", pa.string()),
        ("s2_id", pa.string()),
        ("split", pa.string()),
        ("labels_43", pa.list_(pa.uint8())),
        ("labels_19", pa.list_(pa.uint8())),
        ("country", pa.string()),
        ("shard", pa.uint16()),
        ("folder", pa.string()),
    ]
)
READERS = 16  # threads: on a network disk opening a file is mostly waiting
AT_ONCE = 2**17  # patches whose labels files of a packed archive are in memory
LABELS = "labels_metadata.json"

Labels = tuple[list[int] | None, list[int]]
"""The indices of a patch's classes among 43 (none where the archive has only 19) and among 19."""


def parse_labels(content: bytes) -> Labels:
    """The labels in a patch's JSON file of BigEarthNet v1.

    Raises:
        ValueError: the file is no JSON, has no list ``labels`` or names an unknown class.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("labels file is no JSON") from error
    names = parsed.get("labels") if isinstance(parsed, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("labels file has no list `labels`")
    labels_43 = indices_of(names, INDEX_43)
    return labels_43, indices_19(labels_43)


def from_json(s1: Sequence[Path], folders: Sequence[str]) -> list[Labels | str]:
    """The labels of BigEarthNet v1 patches, or why they cannot be read, in the order of ``folders``."""
    results: list[Labels | str] = []
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(folders), AT_ONCE):
            part = folders[start : start + AT_ONCE]
            source = open_source(s1, part, {LABELS})
            results += pool.map(functools.partial(_labels_or_reason, source), part, chunksize=256)
    return results


def _labels_or_reason(source: Source, folder: str) -> Labels | str:
    try:
        return parse_labels(source.read(folder, LABELS))
    except ValueError as error:
        return str(error)


def from_tables(paths: Sequence[Path], patch_ids: Sequence[str]) -> list[Labels | str]:
    """The labels of reBEN patches by its tables, or what is wrong with them, in the order of ``patch_ids``."""
    wanted = set(patch_ids)
    names: dict[str, list[str] | None] = {}
    for path in paths:
        names |= {
            patch_id: found for patch_id, found in read_table(path, ("s1_name", "labels")).rows() if patch_id in wanted
        }
    results: list[Labels | str] = []
    for patch_id in patch_ids:
        try:
            labels = indices_of(names.get(patch_id) or [], INDEX_19)
            results.append((None, labels) if labels else "no label in the table")
        except ValueError as error:
            results.append(str(error))
    return results


def write_index(
    patches: Path, max_rejected: float, output: Path, *, s1: Sequence[Path] = (), tables: Sequence[Path] = ()
) -> None:
    """Writes ``index.parquet``: one row a patch whose labels can be read, ordered by ``patch_id``.

    Args:
        patches: ``patches.parquet``.
        max_rejected: the largest share of patches without readable labels to go on with.
        output: columns of :data:`SCHEMA`; the class names, and the patches that were rejected with their
            reasons, are in the metadata.
        s1: where the JSON files of BigEarthNet v1 are: the folder of Sentinel-1 patches, or the lists of the
            members of its tar files.
        tables: reBEN's tables of labels, in the place of JSON files.

    Raises:
        UserError: too many patches are rejected, or a split is left without a patch.
    """
    with replacing(output) as part:
        source = read_metadata(patches)
        table = pl.read_parquet(patches)

        ids = table["patch_id"].to_list()
        results = from_tables(tables, ids) if tables else from_json(s1, table["folder"].to_list())
        rows = list(zip(ids, table["split"], results, strict=True))
        rejected = [(patch_id, split, reason) for patch_id, split, reason in rows if isinstance(reason, str)]
        for patch_id, split, reason in rejected:
            log.warning("rejected %s (%s): %s", patch_id, split, reason)
        if len(rejected) > max_rejected * len(rows):
            raise UserError(
                f"the labels of {len(rejected)} of {len(rows)} patches ({len(rejected) / len(rows):.1%}) cannot be"
                f" read, more than archive.max_rejected ({max_rejected:.1%}) allows; the log lists them, the first"
                f" is {rejected[0][0]}: {rejected[0][2]}; mend them and run again"
            )
        labels = {patch_id: result for patch_id, _, result in rows if not isinstance(result, str)}
        kept = table.filter(pl.col("patch_id").is_in(labels.keys()))
        for split in SPLITS:
            if split not in kept["split"]:
                raise UserError(
                    f"{patches}: no patch of {split} has readable labels: the log says what is wrong with them"
                )
        columns = {
            **{name: kept[name].to_list() for name in kept.columns},
            "labels_43": [labels_43 for labels_43, _ in labels.values()],
            "labels_19": [labels_19 for _, labels_19 in labels.values()],
        }
        metadata = {**source, "classes": {"19": CLASSES_19, "43": CLASSES_43}, "rejected": rejected}
        arrays = [pa.array(columns[f.name], type=f.type) for f in SCHEMA]
        pq.write_table(pa.table(arrays, with_metadata(SCHEMA, metadata)), part, compression="zstd")
