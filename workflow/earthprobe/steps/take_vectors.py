"""Take the vectors of a feature set that sees no pixels."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe import registry
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.models.options import options_of
from earthprobe.models.vectors import Vectors
from earthprobe.storage.files import replacing
from earthprobe.storage.geoparquet import Places
from earthprobe.storage.parquet import check_ids, embedding_schema, read_metadata, with_metadata

log = logging.getLogger(__name__)

ROW_GROUP = 8192  # patches, as merged ones have


def run(*, model: str, patches: Path, output: Path) -> None:
    """Writes the vectors of all patches that have one, ordered by ``patch_id``.

    Args:
        model: JSON of the feature set: ``kind`` and the options of its kind.
        patches: ``patches.parquet``.
        output: columns ``patch_id`` and ``embedding``, a list of float32.

    Raises:
        UserError: none has one, or more lack one than the kind allows.
    """
    entry = entry_of("models", model, "--model")
    taken: Vectors = registry.load("models", entry["kind"]).vectors(pl.read_parquet(patches), **options_of(entry))
    if not len(taken.ids):
        raise UserError(f"{patches}: no patch has what a feature set of kind {entry['kind']} is made of")
    for patch_id in taken.missing:
        log.warning("%s has no vector", patch_id)
    source = read_metadata(patches)
    schema = with_metadata(
        embedding_schema(taken.matrix.shape[1]),
        {
            "archive": source["archive"],
            "simulated": source["simulated"],
            "licence": None,
            "weights_licence": None,
            "kind": entry["kind"],
            "model": "",
            "weights": "",
            "file": "",
            "sha256": "",
            "bands": [],
            "units": {},
            "normalization": {"kind": "none"},
            "missing": len(taken.missing),
            **taken.settings,
        },
    )
    order = np.argsort(np.array(taken.ids, dtype=object))
    ids = [taken.ids[row] for row in order]
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(taken.matrix[order].ravel()), type=schema.field("embedding").type
    )
    with replacing(output) as part:
        places = Places(patches)
        table = places.add(pa.table([pa.array(ids), column], schema=schema)).cast(places.schema(schema))
        pq.write_table(table, part, compression="none", use_dictionary=False, row_group_size=ROW_GROUP)
        check_ids(part, ids)
    log.info("%d vectors of %d figures, %d patches have none", len(ids), taken.matrix.shape[1], len(taken.missing))
