"""Find the train patches whose vectors are nearest to those of each test patch."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from earthprobe.probes.data import parts_of, rows_of, standardised
from earthprobe.probes.fits import fits_of
from earthprobe.probes.search import Search
from earthprobe.progress import Progress
from earthprobe.storage.files import replacing
from earthprobe.storage.parquet import check_ids, read_metadata, with_metadata

log = logging.getLogger(__name__)

K = 100
"""How many there are of each, as many as any figure counts."""

SMALL = 2**20
"""Figures of all train patches together, below which one thread searches."""


def run(*, features: Path, index: Path, buffer: float = 0, threads: int = 1, output: Path) -> None:
    """Writes the 100 nearest train patches of each test patch, by the cosine of vectors as the probes see them.

    Args:
        features: the merged embeddings.
        index: ``index.parquet``, for splits or folds.
        buffer: train patches this near to a test patch, in cells of 1.2 km, are left out.
        threads: CPU threads.
        output: columns ``patch_id``, ``repeat``, ``neighbors`` (rows of ``features``, the nearest first; of equally
            near ones the first) and ``similarity``; of folds each patch once a repeat, its neighbours among the patches
            that a probe is fitted on.
    """
    with replacing(output) as part:
        said = read_metadata(index)
        label_set, classes = next(iter(said["classes"].items()))
        rows = rows_of(features, index, label_set)
        fits = list(fits_of(rows, said.get("folds"), buffer))
        if said.get("folds"):  # one may have no patches; of a split it is said by name what is missing
            fits = [fit for fit in fits if len(fit.train) and len(fit.test)]
        k = min([K, *(len(fit.train) for fit in fits)])
        schema = with_metadata(
            pa.schema(
                [
                    ("patch_id", pa.string()),
                    ("repeat", pa.uint8()),
                    ("neighbors", pa.list_(pa.int32(), k)),
                    ("similarity", pa.list_(pa.float32(), k)),
                ]
            ),
            {"features": read_metadata(features), "buffer": buffer, "k": k, "metric": "cosine of standardised vectors"},
        )
        ids = []
        progress = Progress(log, sum(len(fit.test) for fit in fits))
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for fit in fits:
                here = {"train": rows[fit.train], "test": rows[fit.test]}
                parts = standardised(parts_of(features, here, len(classes))).parts
                own = here["train"]["row"].to_numpy()
                # Threads that wait for each other cost more than they save where there is little to do.
                torch.set_num_threads(1 if parts["train"].features.size < SMALL else threads)
                near, found = [], []
                for similarity, numbers in Search(parts["train"].features, "cosine", k).nearest(parts["test"].features):
                    near.append(similarity.float().cpu().numpy())
                    found.append(own[numbers.cpu().numpy()].astype(np.int32))
                    progress.add(len(numbers))
                columns = [
                    pa.array(parts["test"].ids),
                    pa.array(np.full(len(fit.test), fit.repeat, np.uint8)),
                    *(
                        pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(values).ravel()), k)
                        for values in (found, near)
                    ),
                ]
                writer.write_table(pa.table(columns, schema=schema))
                ids += parts["test"].ids
        check_ids(part, ids)
