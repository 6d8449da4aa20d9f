"""Read the labels of the patches, beside their splits."""

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe import registry
from earthprobe.archives import grid
from earthprobe.archives.interface import SPLITS, Labelled
from earthprobe.distance import to_nearest
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
        ("time", pa.timestamp("ms")),  # UTC; DuckDB asks for another library where a file says so
        ("orbit", pa.string()),
        ("relative_orbit", pa.uint8()),
        ("month", pa.int8()),
        ("cells_to_train", pa.float32()),
        ("cells_to_test", pa.float32()),
    ]
)
"""What names, dates and places say of patches, which controls, intervals and buffers go by; null where they do not.

``cells_to_train`` is how far the nearest train patch of a val or test patch is, in cells of 1.2 km, and
``cells_to_test`` how far the nearest test patch of a train or val patch."""


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
        read_here = list(read.values())
        columns: dict[str, Any] = {
            **kept.to_dict(),
            **known(kept).to_dict(),
            "relative_orbit": [labels.relative_orbit for labels in read_here],
            **{f"labels_{name}": [labels[name] for labels in read_here] for name in sets},
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
        arrays = [
            column.to_arrow().cast(f.type)
            if isinstance(column := columns[f.name], pl.Series)
            else pa.array(column, f.type)
            for f in schema
        ]
        pq.write_table(pa.table(arrays, schema), part, compression="zstd")


def known(table: pl.DataFrame) -> pl.DataFrame:
    """The columns of :data:`KNOWN` of some patches, by their id, date, place and split."""
    month = table["date"].dt.month().alias("month")
    named = grid.named(table["patch_id"].to_list()).with_columns(month, *_distances(table))
    return named.with_columns(relative_orbit=pl.lit(None, pl.UInt8)).select(KNOWN.names)


def _distances(table: pl.DataFrame) -> list[pl.Series]:
    """The columns ``cells_to_train`` and ``cells_to_test``."""
    places = table.select(pl.col("longitude", "latitude").cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    split = table["split"].to_numpy()
    columns = []
    for near in ("train", "test"):
        found = np.full(table.height, np.nan)
        there, others = split == near, split != near
        found[others] = to_nearest(places[there], places[others])
        columns.append(pl.Series(f"cells_to_{near}", found, dtype=pl.Float32).fill_nan(None))
    return columns
