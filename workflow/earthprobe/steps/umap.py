"""Lay embeddings out in two dimensions, and find the patches whose embeddings are alike.

Neither depends on the label set, so that one process serves the panels of every label set.
"""

import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from earthprobe.describe import describe_data, describe_weights
from earthprobe.errors import UserError
from earthprobe.probes.search import Search
from earthprobe.storage.embeddings import read_embeddings
from earthprobe.storage.files import replacing
from earthprobe.storage.parquet import check_ids, read_metadata, with_metadata

log = logging.getLogger(__name__)

LEAST = 4
"""Patches without which there is nothing to lay out: umap-learn fails on fewer."""

MOST = 50_000
"""Patches up to which the nearest are searched exactly: umap-learn compiles its own search for 25 s in each process."""

ALIKE = 10
"""The nearest patches that are kept of each."""


def run(
    *,
    features: Path,
    sample: Path,
    neighbors: int,
    min_distance: float,
    seed: int | None = None,
    threads: int = 1,
    output: Path,
) -> None:
    """Writes UMAP coordinates of a sample of patches, and of each the patches of the sample nearest to it.

    Args:
        features: the merged embeddings.
        sample: ``sample.parquet``; those of it that the feature set has are laid out.
        neighbors: UMAP's number of neighbours.
        min_distance: UMAP's smallest distance between points.
        seed: the seed of the layout; None lets umap-learn use all threads, and each run differs.
        threads: CPU threads.
        output: columns ``patch_id``, ``x`` and ``y``, ordered by ``patch_id``; ``nearest``, the rows of this file that
            are nearest by cosine of the standardised embeddings, and ``similarity``, their cosines.

    Raises:
        UserError: there are hardly any of these patches.
    """
    torch.set_num_threads(threads)  # of the search for neighbours
    with replacing(output) as part:
        ids = pl.read_parquet(features, columns=["patch_id"]).with_row_index("row")
        chosen = ids.join(pl.read_parquet(sample), on="patch_id", how="semi", maintain_order="left")
        (vectors,) = read_embeddings(features, [chosen["row"].to_numpy()])
        log.info("%d of %d patches", len(chosen), len(ids))
        if len(chosen) < LEAST:
            raise UserError(
                f"{features} has {len(chosen)} patches of {sample}, too few to lay out: at least {LEAST} are needed"
            )
        vectors = standardised(vectors)
        layout = laid_out(vectors, neighbors, min_distance, seed, threads)
        nearest, similarity = alike(vectors, min(ALIKE, len(vectors) - 1))
        source = read_metadata(features)
        kept = nearest.shape[1]
        schema = with_metadata(
            pa.schema(
                [
                    ("patch_id", pa.string()),
                    ("x", pa.float32()),
                    ("y", pa.float32()),
                    ("nearest", pa.list_(pa.uint32(), kept)),
                    ("similarity", pa.list_(pa.float32(), kept)),
                ]
            ),
            {
                "data": describe_data(source),
                "weights": describe_weights(source),
                "patches": len(ids),
                "umap": {
                    "version": version("umap-learn"),
                    "neighbors": neighbors,
                    "min_distance": min_distance,
                    "seed": seed,
                },
            },
        )
        columns = [pa.array(column) for column in (chosen["patch_id"].to_list(), *layout.T)]
        columns += [pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), kept) for found in (nearest, similarity)]
        pq.write_table(pa.table(columns, schema=schema), part)
        check_ids(part, chosen["patch_id"].to_list())


def standardised(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each dimension with mean 0 and deviation 1, as the probes see it."""
    std = vectors.std(axis=0)
    std[std == 0] = 1
    result: npt.NDArray[np.float32] = (vectors - vectors.mean(axis=0)) / std
    return result


def laid_out(
    vectors: npt.NDArray[np.float32], neighbors: int, min_distance: float, seed: int | None, threads: int
) -> npt.NDArray[np.float32]:
    """The coordinates of vectors, shape (rows, 2); the options are those of :func:`run`."""
    import umap

    for function in (umap.umap_.smooth_knn_dist, umap.umap_.compute_membership_strengths):
        function.enable_caching()  # each process would compile them again, for four seconds
    count = min(neighbors, len(vectors) - 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]")  # which new patches would need
        layout: npt.NDArray[np.float32] = umap.UMAP(
            n_neighbors=count,
            min_dist=min_distance,
            random_state=seed,
            n_jobs=threads if seed is None else 1,
            verbose=True,  # the command line sends it to the log
            init="spectral" if len(vectors) > 10 * neighbors else "random",
            precomputed_knn=near(vectors, count) if len(vectors) <= MOST else (None, None, None),
        ).fit_transform(vectors)
    return layout.astype(np.float32)


def near(vectors: npt.NDArray[np.float32], k: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], None]:
    """The rows nearest to each row, itself among them, and their distances, as umap-learn takes them."""
    found = list(Search(vectors, "l2", k).nearest(vectors))
    squares, rows = (np.concatenate([part[number].cpu().numpy() for part in found]) for number in (0, 1))
    return rows.astype(np.int32), np.sqrt(-squares).astype(np.float32), None


def alike(vectors: npt.NDArray[np.float32], k: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """The rows nearest to each row by cosine, without itself, and their cosines, both of shape (rows, k).

    Args:
        vectors: shape (rows, dimensions).
        k: how many, fewer than rows.
    """
    found = list(Search(vectors, "cosine", k + 1).nearest(vectors))
    cosines, rows = (np.concatenate([part[number].cpu().numpy() for part in found]) for number in (0, 1))
    own = rows == np.arange(len(rows))[:, None]
    # Of many that are equal, a row may not be among its own nearest: then the last is one too many.
    own[~own.any(axis=1), -1] = True
    shape = len(rows), k
    return rows[~own].reshape(shape).astype(np.uint32), cosines[~own].reshape(shape).astype(np.float32)
