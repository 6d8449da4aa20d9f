"""index: the labels of every patch, beside its split and its place."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.errors import UserError
from earthprobe.files import read_metadata, replacing, with_metadata
from earthprobe.labels import CLASSES_19, CLASSES_43, indices_19, indices_43
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


def read_labels(folder: Path) -> list[int]:
    """The 43-class indices of the patch in ``folder``, from its JSON file.

    Raises:
        ValueError: the file is missing, is no JSON, has no list ``labels`` or names an unknown class.
    """
    path = folder / f"{folder.name}_labels_metadata.json"
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"labels cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("labels file is no JSON") from error
    names = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("labels file has no list `labels`")
    return indices_43(names)


def write_index(patches: Path, s1_folder: Path, max_rejected: float, output: Path) -> None:
    """Writes ``index.parquet``: one row a patch whose labels can be read, ordered by ``patch_id``.

    Args:
        patches: ``patches.parquet``.
        s1_folder: the folder to which the patches' folders are relative.
        max_rejected: the largest share of patches without readable labels to go on with.
        output: columns of :data:`SCHEMA`; the class names, and the patches that were rejected with their
            reasons, are in the metadata.

    Raises:
        UserError: too many patches are rejected, or a split is left without a patch.
    """
    with replacing(output) as part:
        source = read_metadata(patches)
        table = pl.read_parquet(patches)

        def labels_or_reason(folder: str) -> list[int] | str:
            try:
                return read_labels(s1_folder / folder)
            except ValueError as error:
                return str(error)

        with ThreadPoolExecutor(READERS) as pool:
            results = list(pool.map(labels_or_reason, table["folder"], chunksize=256))
        rows = list(zip(table["patch_id"], table["split"], results, strict=True))
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
                raise UserError(f"{s1_folder}: no patch of {split} has readable labels: check the JSON files")
        columns = {
            **{name: kept[name].to_list() for name in kept.columns},
            "labels_43": list(labels.values()),
            "labels_19": [indices_19(indices) for indices in labels.values()],
        }
        metadata = {**source, "classes": {"19": CLASSES_19, "43": CLASSES_43}, "rejected": rejected}
        arrays = [pa.array(columns[f.name], type=f.type) for f in SCHEMA]
        pq.write_table(pa.table(arrays, with_metadata(SCHEMA, metadata)), part, compression="zstd")
