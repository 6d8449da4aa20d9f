"""Lay embeddings out in two dimensions.

The coordinates do not depend on the label set, so that one process, which compiles umap-learn's functions once,
serves the panels of every label set.
"""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.describe import describe_data, describe_weights
from earthprobe.errors import UserError
from earthprobe.storage.embeddings import read_embeddings
from earthprobe.storage.files import replacing
from earthprobe.storage.parquet import check_ids, read_metadata, with_metadata

log = logging.getLogger(__name__)

FEWEST = 100
"""Patches of each class that the sample keeps if there are as many, so that rare classes can be seen."""


LEAST = 4
"""Patches without which there is nothing to lay out: umap-learn fails on fewer."""


def run(
    *,
    features: Path,
    index: Path,
    sample: int,
    neighbors: int,
    min_distance: float,
    seed: int | None = None,
    threads: int = 1,
    output: Path,
) -> None:
    """Writes UMAP coordinates of a sample of the train split.

    Args:
        features: the merged embeddings.
        index: ``index.parquet``, for the split and for a sample that keeps rare classes.
        sample: the most patches to take.
        neighbors: UMAP's number of neighbours.
        min_distance: UMAP's smallest distance between points.
        seed: the seed of sample and layout; None lets umap-learn use all threads, and each run differs.
        threads: CPU threads.
        output: columns ``patch_id``, ``x`` and ``y``, ordered by ``patch_id``.

    Raises:
        UserError: there are hardly any train patches.
    """
    import umap

    with replacing(output) as part:
        # The finest of the label sets: what is rare in it is kept.
        classes = read_metadata(index)["classes"]
        finest = f"labels_{max(classes, key=lambda name: len(classes[name]))}"
        known = pl.read_parquet(index, columns=["patch_id", "split", finest])
        ids = pl.read_parquet(features, columns=["patch_id"]).with_row_index("row")
        train = ids.join(known.filter(pl.col("split") == "train"), on="patch_id", how="inner", maintain_order="left")
        rng = np.random.default_rng(seed)
        chosen = train[stratified(train[finest], sample, rng)]
        (vectors,) = read_embeddings(features, [chosen["row"].to_numpy()])
        log.info("%d of %d train patches", len(chosen), len(train))
        if len(chosen) < LEAST:
            raise UserError(
                f"{features} has {len(chosen)} train patches, too few to lay out: at least {LEAST} are needed"
            )
        layout = umap.UMAP(
            n_neighbors=min(neighbors, len(vectors) - 1),
            min_dist=min_distance,
            random_state=seed,
            n_jobs=threads if seed is None else 1,
            verbose=True,  # the command line sends it to the log
            init="spectral" if len(vectors) > 10 * neighbors else "random",
        ).fit_transform(standardised(vectors))
        source = read_metadata(features)
        schema = with_metadata(
            pa.schema([("patch_id", pa.string()), ("x", pa.float32()), ("y", pa.float32())]),
            {
                "data": describe_data(source),
                "weights": describe_weights(source),
                "train_patches": len(train),
                "umap": {
                    "version": umap.__version__,
                    "neighbors": neighbors,
                    "min_distance": min_distance,
                    "seed": seed,
                },
            },
        )
        columns = [chosen["patch_id"].to_list(), *layout.astype(np.float32).T]
        pq.write_table(pa.table([pa.array(c) for c in columns], schema=schema), part)
        check_ids(part, chosen["patch_id"].to_list())


def standardised(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each dimension with mean 0 and deviation 1, as the probes see it."""
    std = vectors.std(axis=0)
    std[std == 0] = 1
    result: npt.NDArray[np.float32] = (vectors - vectors.mean(axis=0)) / std
    return result


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
