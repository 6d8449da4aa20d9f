"""Choose the patches that pictures of a whole archive show."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.storage.files import replacing
from earthprobe.storage.parquet import check_ids, read_metadata, with_metadata

log = logging.getLogger(__name__)

FEWEST = 100
"""Patches of each class that the sample keeps if there are as many, so that rare classes can be seen."""


def run(*, index: Path, sample: int, seed: int | None = None, output: Path) -> None:
    """Writes a sample of the patches of all splits that keeps rare classes.

    It rests on the index alone, so that all feature sets show the same patches, and a further one changes none.

    Args:
        index: ``index.parquet``.
        sample: the most patches to take.
        seed: of what is drawn; None draws anew each time.
        output: column ``patch_id``, in the index's order.
    """
    # The finest of the label sets: what is rare in it is kept.
    source = read_metadata(index)
    finest = max(source["classes"], key=lambda name: len(source["classes"][name]))
    known = pl.read_parquet(index, columns=["patch_id", f"labels_{finest}"])
    chosen = known[stratified(known[f"labels_{finest}"], sample, np.random.default_rng(seed))]["patch_id"].to_list()
    schema = with_metadata(pa.schema([("patch_id", pa.string())]), {"patches": len(known), "seed": seed})
    with replacing(output) as part:
        pq.write_table(pa.table([pa.array(chosen, pa.string())], schema=schema), part)
        check_ids(part, chosen)
    log.info("%d of %d patches", len(chosen), len(known))


def stratified(labels: pl.Series, sample: int, rng: np.random.Generator) -> list[int]:
    """Rows of a sample in which no class that has :data:`FEWEST` patches has fewer, as far as ``sample`` allows.

    A patch belongs to the stratum of its rarest class. Each stratum gives its first patches, in random order,
    up to :data:`FEWEST`; the rest of the sample is drawn from all others alike.
    """
    if len(labels) <= sample:
        return list(range(len(labels)))
    rows = pl.DataFrame({"row": pl.int_range(len(labels), eager=True), "label": labels}).explode("label")
    rows = rows.join(rows.group_by("label").len(), on="label", how="left", nulls_equal=True)
    strata = rows.sort("len", "label").unique("row", keep="first", maintain_order=True).select("row", "label")
    order = rng.permutation(len(labels))
    strata = strata.with_columns(order=pl.Series(order)[strata["row"]]).sort("order")
    place = strata.select(pl.int_range(pl.len()).over("label"))[:, 0]
    first = strata.with_columns(late=place >= FEWEST).sort("late", "order", maintain_order=True)
    return sorted(first["row"][:sample].to_list())
