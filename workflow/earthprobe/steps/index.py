"""Read the labels of the patches, beside their splits."""

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe import registry
from earthprobe.archives import grid
from earthprobe.archives.interface import SPLITS, Labelled
from earthprobe.errors import UserError
from earthprobe.storage.files import replacing
from earthprobe.storage.geoparquet import KEY, geographic
from earthprobe.storage.parquet import read_metadata, with_metadata
from earthprobe.storage.patches import SCHEMA

log = logging.getLogger(__name__)


KNOWN = pa.schema(
    [
        ("tile", pa.string()),
        ("column", pa.int16()),
        ("row", pa.int16()),
        ("satellite", pa.string()),
        ("time", pa.timestamp("ms", "UTC")),
        ("orbit", pa.string()),
        ("month", pa.int8()),
    ]
)
"""What names and dates say of patches, which splits, controls and intervals group by; null where they do not."""


def schema_of(label_sets: Iterable[str], patches: pa.Schema = SCHEMA) -> pa.Schema:
    """The columns of the index: those of the patches and of :data:`KNOWN`, and the classes in each label set."""
    columns = list(patches)
    place = patches.get_field_index("date") + 1
    columns[place:place] = [field for field in KNOWN if field.name not in patches.names]
    place = patches.get_field_index("split") + 1
    columns[place:place] = [pa.field(f"labels_{name}", pa.list_(pa.uint8())) for name in label_sets]
    return pa.schema(columns)


def run(
    *,
    kind: str,
    patches: Path,
    labels: Sequence[Path],
    archive: str = "",
    max_rejected: float,
    output: Path,
) -> None:
    """Writes ``index.parquet``: one row a patch whose labels can be read, ordered by ``patch_id``.

    Args:
        kind: the archive's kind.
        patches: ``patches.parquet``.
        labels: where the labels are: the folder of Sentinel-1 patches, or the lists of the members of its tar files, or
            the archive's tables.
        archive: JSON of ``archive`` of the configuration, for a kind whose classes it says.
        max_rejected: the largest share of patches without readable labels to go on with.
        output: the columns of the patches, and the labels of each label set; the class names, and the patches that were
            rejected with their reasons, are in the metadata.

    Raises:
        UserError: too many patches are rejected, or a split is left without a patch.
    """
    module = registry.load("archives", kind, "_labels")
    with replacing(output) as part:
        source = read_metadata(patches)
        table = pl.read_parquet(patches)
        if archive:
            found = module.labelled(table, json.loads(archive))
        else:
            found = Labelled(module.LABEL_SETS, module.labels(labels, table), {})
        sets = found.sets
        rows = list(zip(table["patch_id"].to_list(), table["split"], found.results, strict=True))
        rejected = [(patch_id, split, reason) for patch_id, split, reason in rows if isinstance(reason, str)]
        for patch_id, split, reason in rejected:
            log.warning("rejected %s (%s): %s", patch_id, split, reason)
        if len(rejected) > max_rejected * len(rows):
            raise UserError(
                f"the labels of {len(rejected)} of {len(rows)} patches ({len(rejected) / len(rows):.1%}) cannot be"
                f" read, more than archive.max_rejected ({max_rejected:.1%}) allows; the log lists them, the first"
                f" is {rejected[0][0]}: {rejected[0][2]}; fix them and run again"
            )
        read = {patch_id: result for patch_id, _, result in rows if not isinstance(result, str)}
        kept = table.filter(pl.col("patch_id").is_in(read.keys()))
        for split in SPLITS if "folds" not in table.columns else SPLITS[:1]:
            if split not in kept["split"]:
                raise UserError(
                    f"{patches}: no patch of {split} has readable labels: the log says what is wrong with them"
                )
        named = grid.named(kept["patch_id"]).with_columns(kept["date"].dt.month().alias("month"))
        columns = {
            **{name: named[name].to_list() for name in KNOWN.names},
            **{name: kept[name].to_list() for name in kept.columns},
            **{f"labels_{name}": [labels[name] for labels in read.values()] for name in sets},
        }
        said = {
            "classes": {name: list(label_set.classes) for name, label_set in sets.items()},
            "tasks": {name: label_set.task for name, label_set in sets.items()},
            "classes_left_out": found.left_out,
            "rejected": rejected,
        }
        schema = with_metadata(schema_of(sets, pq.read_schema(patches)), {**source, **said})
        if geo := (pq.read_schema(patches).metadata or {}).get(KEY):
            schema = geographic(schema, geo)
        arrays = [pa.array(columns[f.name], type=f.type) for f in schema]
        pq.write_table(pa.table(arrays, schema), part, compression="zstd")
