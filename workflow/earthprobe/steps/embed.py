"""Embed the patches of one shard by a frozen model."""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from earthprobe import registry
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.models import units
from earthprobe.models.assemble import encoder_of, inputs_of
from earthprobe.models.energy import joules
from earthprobe.models.forward import BATCH, Forward, pinned, read_ahead
from earthprobe.models.interface import Encoder, Floats, Normalization
from earthprobe.models.weights import origin_of
from earthprobe.progress import Progress, peak_memory
from earthprobe.provenance import made_on
from earthprobe.storage.files import replacing, write_json
from earthprobe.storage.parquet import check_ids, embedding_schema, parquet, read_metadata, with_metadata
from earthprobe.storage.pixels import read_shards, room_for

log = logging.getLogger(__name__)

COLUMNS = {"date": ("date",), "place": ("longitude", "latitude")}
"""Of ``patches.parquet``, by what a model's YAML file says it needs."""

LEAST_COSINE = 0.99
"""To float32, of each patch that is compared, below which int8 is refused."""

ROW_GROUP = 128  # patches; 0.4 MB of 768 floats, of which a merge holds one or more a shard


def run(
    *,
    model: str,
    shard: Sequence[Path],
    statistics: Sequence[Path],
    patches: Path | None = None,
    weights: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
    output: Path,
    cost: Path | None = None,
) -> None:
    """Writes the embeddings of a shard's patches, in the shard's order.

    Args:
        model: JSON of the feature set: ``kind``, ``bands`` and the options of its kind.
        shard: the shard's pixels, a file a sensor; a patch that one of them lacks is left out.
        statistics: of the same sensors, each band's mean and deviation over the train split, which the z-score uses.
        patches: ``patches.parquet``, where the model must know dates or places.
        weights: what the step ``embed-weights`` wrote, where the model has weights.
        device: where to run; auto is cuda where there is a GPU.
        threads: CPU threads.
        output: columns ``patch_id`` and ``embedding``, a list of float32.
        cost: JSON of what this took, for the step ``cost``.

    Raises:
        UserError: an embedding is not finite, the shard lacks a band, a date or a place is not known that the model
            needs, int8 is too coarse for it, or there is no GPU where one was asked for.
    """
    torch.set_num_threads(threads)
    entry = entry_of("models", model, "--model")
    where = choose_device(device)
    dtype = choose_precision(entry.get("precision", "float32"), where)
    torch.backends.cudnn.allow_tf32 = False  # a GPU's TF32 would be float32 in name only
    torch.backends.cuda.matmul.allow_tf32 = False
    bands = entry["bands"]
    _check_bands(shard, bands)
    inputs = inputs_of(entry, statistics)
    encoder = encoder_of(entry, inputs, weights, where, dtype)
    frozen, prepare = encoder.model, encoder.prepare
    origin = (
        origin_of(weights) if weights else {"model": entry.get("model", ""), "weights": "", "file": "", "sha256": ""}
    )
    facts = registry.kind("models", entry["kind"]).facts
    source = read_metadata(shard[0])
    unit_of = {band: unit for path in shard for band, unit in read_metadata(path)["units"].items() if band in bands}
    schema = with_metadata(
        embedding_schema(frozen.dimensions),
        {
            "archive": source["archive"],
            "simulated": source["simulated"],
            "licence": source.get("licence"),  # shards of an earlier version do not say
            "weights_licence": facts.get("weights_licence") if origin["weights"] in facts.get("weights", ()) else None,
            "kind": entry["kind"],
            **origin,
            "bands": bands,
            "units": unit_of,
            **frozen.settings,
            "normalization": _described(inputs.normalization, prepare.normalization),
            "image_size": prepare.image_size or inputs.size,
            "protocol": entry.get("protocol"),
            "align_corners": prepare.align_corners,
            "pooling": frozen.pooling,
            "precision": str(dtype).removeprefix("torch."),
            "device": where,
            "made_on": made_on(threads),
            "torch_version": torch.__version__,
            "torchgeo_version": version("torchgeo"),
        },
    )
    log.info("%s on %s in %s, %d threads", origin["model"] or entry["kind"], where, dtype, threads)
    ids: list[str] = []
    waiting: list[npt.NDArray[np.float32]] = []
    room = pinned if where == "cuda" else room_for

    def read() -> Iterator[tuple[list[str], tuple[Floats, ...]]]:
        return _seen(read_shards(shard, bands, BATCH[where], room), facts.get("needs", ()), patches)

    if dtype == torch.int8:
        _compare(encoder, lambda: encoder_of(entry, inputs, weights, where, torch.float32), *next(read(), ([], ())))
    with parquet(shard[0]) as file:
        progress = Progress(log, file.metadata.num_rows)
    begun, energy = time.perf_counter(), joules(where)
    with (
        closing(read_ahead(read(), pin=where == "cuda")) as batches,
        replacing(output) as part,
    ):
        with pq.ParquetWriter(part, schema, compression="none", use_dictionary=False) as writer:
            for batch_ids, vectors in Forward(encoder, where).over(batches):
                if not np.isfinite(vectors).all():
                    bad = batch_ids[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]
                    raise UserError(f"{shard[0]}: the embedding of {bad} is not finite: check the weights")
                ids += batch_ids
                waiting.append(vectors)
                if sum(map(len, waiting)) >= ROW_GROUP:
                    _write(writer, ids, waiting)
                progress.add(len(batch_ids))
            _write(writer, ids, waiting)
        check_ids(part, ids)
    if cost is not None:
        used = joules(where)
        difference = None if used is None or energy is None or used < energy else used - energy
        measured = {"patches": len(ids), "seconds": time.perf_counter() - begun, "joules": difference}
        peak = torch.cuda.max_memory_allocated() // 2**20 if where == "cuda" else peak_memory()
        write_json(cost, {**measured, "peak_mib": peak, "device": where, "threads": threads})


def _described(kind: str, normalization: Normalization | None) -> dict[str, Any]:
    """A normalisation for the metadata, with its figures."""
    if normalization is None:
        return {"kind": "none"}
    figures = {"mean": list(normalization.shift), "std": list(normalization.scale)}
    limits = {"limits": list(normalization.limits)} if normalization.limits else {}
    return {"kind": kind, **figures, **limits}


def _seen(
    batches: Iterator[tuple[list[str], Floats]], needs: Collection[str], patches: Path | None
) -> Iterator[tuple[list[str], tuple[Floats, ...]]]:
    """Batches with what a model must know of a patch beside its pixels, in the order of :class:`Batch`."""
    if not needs:
        yield from ((ids, (pixels,)) for ids, pixels in batches)
        return
    if patches is None:
        raise UserError(f"--patches is missing: this model must know the {' and '.join(needs)} of a patch")
    table = pl.read_parquet(patches, columns=["patch_id", *(c for need in needs for c in COLUMNS[need])])
    known = table.with_columns(
        month=pl.col("date").dt.month() - 1 if "date" in needs else pl.lit(0),
        day=pl.col("date").dt.ordinal_day() if "date" in needs else pl.lit(0),
        longitude=pl.col("longitude") if "place" in needs else pl.lit(0),
        latitude=pl.col("latitude") if "place" in needs else pl.lit(0),
    )
    for ids, pixels in batches:
        rows = pl.DataFrame({"patch_id": ids}).join(known, on="patch_id", how="left", maintain_order="left")
        facts = rows.select("month", "day", "longitude", "latitude")
        if sum(facts.null_count().row(0)):
            unknown = rows.filter(pl.any_horizontal(pl.col(facts.columns).is_null()))["patch_id"][0]
            raise UserError(f"{patches} does not know the {' and '.join(needs)} of {unknown}")
        values = facts.to_numpy().astype(np.float32)
        yield ids, (pixels, values[:, :2], values[:, 2:])


def _compare(encoder: Encoder, exact: Callable[[], Encoder], ids: Sequence[str], seen: Sequence[Floats]) -> None:
    """Compares a model's vectors of a batch with those of the same model in float32.

    Raises:
        UserError: a patch has another vector.
    """
    if not ids:
        return
    with torch.inference_mode():
        got, want = (model(*map(torch.from_numpy, seen)) for model in (encoder, exact()))
    if not want.isfinite().all():  # said of the patch, where vectors are written
        return
    cosine = torch.cosine_similarity(got, want)
    least = int(cosine.argmin())
    log.info("int8 and float32 agree to a cosine of %.4f or more in the first %d patches", cosine[least], len(ids))
    if not cosine[least] >= LEAST_COSINE:
        raise UserError(
            f"precision: int8 is too coarse for this model: its vector of {ids[least]} has a cosine of"
            f" {cosine[least]:.4f} to float32's, and {LEAST_COSINE} is the least: use precision: auto"
        )


def _check_bands(shard: Sequence[Path], bands: Sequence[str]) -> None:
    held = [band for path in shard for band in read_metadata(path)["bands"]]
    absent = [band for band in bands if band not in held]
    if absent:
        raise UserError(f"{shard[0]} has no band {absent[0]}: it holds {', '.join(held)}")


def _write(writer: pq.ParquetWriter, ids: list[str], waiting: list[npt.NDArray[np.float32]]) -> None:
    """Writes the vectors that wait, which belong to the last of the ids, and lets go of them."""
    if not waiting:
        return
    vectors = np.concatenate(waiting)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), type=writer.schema.field("embedding").type)
    writer.write_table(pa.table([pa.array(ids[-len(vectors) :]), column], schema=writer.schema))
    waiting.clear()


def choose_device(device: str) -> str:
    """The device to run on: ``auto`` is CUDA if there is one, else the CPU."""
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        if os.environ.get("CUDA_VISIBLE_DEVICES"):
            log.warning("this job was given a GPU that torch does not see: check its driver. The CPU is used instead")
        return "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here: use --device auto or cpu")
    return device


def choose_precision(precision: str, device: str) -> torch.dtype:
    """The arithmetic to run in: ``auto`` is bfloat16 where ``device`` has units for it, else float32.

    Raises:
        UserError: there are no units for int8.
    """
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else units.bfloat16()
        precision = "bfloat16" if fast else "float32"
    if precision == "int8":
        from earthprobe.models.packed import Int8Linear

        if device != "cpu":
            raise UserError("precision: int8 is for CPUs, and this job runs on a GPU: use precision: auto")
        if not Int8Linear.available():
            raise UserError("precision: int8: this CPU has no units for it (VNNI or AMX): use precision: auto")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}[precision]
