"""Read the labels of the patches, beside their splits."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe import registry
from earthprobe.archives.interface import SPLITS
from earthprobe.errors import UserError
from earthprobe.storage.files import replacing
from earthprobe.storage.parquet import read_metadata, with_metadata

log = logging.getLogger(__name__)


def schema_of(label_sets: Iterable[str]) -> pa.Schema:
    """The columns of the index: those of the patches, and the indices of a patch's classes in each label set."""
    return pa.schema(
        [
            ("patch_id", pa.string()),
            ("s2_id", pa.string()),
            ("split", pa.string()),
            *((f"labels_{name}", pa.list_(pa.uint8())) for name in label_sets),
            ("country", pa.string()),
            ("date", pa.date32()),
            ("longitude", pa.float64()),
            ("latitude", pa.float64()),
            ("shard", pa.uint16()),
            ("folder_s1", pa.string()),
            ("folder_s2", pa.string()),
        ]
    )


def run(*, kind: str, patches: Path, labels: Sequence[Path], max_rejected: float, output: Path) -> None:
    """Writes ``index.parquet``: one row a patch whose labels can be read, ordered by ``patch_id``.

    Args:
        kind: the archive's kind.
        patches: ``patches.parquet``.
        labels: where the labels are: the folder of Sentinel-1 patches, or the lists of the members of its tar files, or
            the archive's tables.
        max_rejected: the largest share of patches without readable labels to go on with.
        output: the columns of the patches, and the labels of each label set; the class names, and the patches that were
            rejected with their reasons, are in the metadata.

    Raises:
        UserError: too many patches are rejected, or a split is left without a patch.
    """
    module = registry.load("archives", kind, "_labels")
    with replacing(output) as part:
        source, sets = read_metadata(patches), module.LABEL_SETS
        table = pl.read_parquet(patches)

        ids = table["patch_id"].to_list()
        results = module.labels(labels, table)
        rows = list(zip(ids, table["split"], results, strict=True))
        rejected = [(patch_id, split, reason) for patch_id, split, reason in rows if isinstance(reason, str)]
        for patch_id, split, reason in rejected:
            log.warning("rejected %s (%s): %s", patch_id, split, reason)
        if len(rejected) > max_rejected * len(rows):
            raise UserError(
                f"the labels of {len(rejected)} of {len(rows)} patches ({len(rejected) / len(rows):.1%}) cannot be"
                f" read, more than archive.max_rejected ({max_rejected:.1%}) allows; the log lists them, the first"
                f" is {rejected[0][0]}: {rejected[0][2]}; fix them and run again"
            )
        found = {patch_id: result for patch_id, _, result in rows if not isinstance(result, str)}
        kept = table.filter(pl.col("patch_id").is_in(found.keys()))
        for split in SPLITS:
            if split not in kept["split"]:
                raise UserError(
                    f"{patches}: no patch of {split} has readable labels: the log says what is wrong with them"
                )
        columns = {
            **{name: kept[name].to_list() for name in kept.columns},
            **{f"labels_{name}": [labels[name] for labels in found.values()] for name in sets},
        }
        classes = {name: list(label_set.classes) for name, label_set in sets.items()}
        schema = with_metadata(schema_of(sets), {**source, "classes": classes, "rejected": rejected})
        arrays = [pa.array(columns[f.name], type=f.type) for f in schema]
        pq.write_table(pa.table(arrays, schema), part, compression="zstd")
