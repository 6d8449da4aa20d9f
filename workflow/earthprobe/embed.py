"""embed: the frozen model's embedding of every patch of a shard."""

import json
import logging
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torchgeo

from earthprobe.dofa import POOLING, DofaEncoder
from earthprobe.embed_weights import load_model
from earthprobe.errors import UserError
from earthprobe.files import check_ids, parquet, read_metadata, replacing, with_metadata
from earthprobe.forward import BATCH, NO_ROOM, Forward, read_ahead
from earthprobe.layout import PUBLISHED_WEIGHTS, WEIGHTS_LICENCE
from earthprobe.pixels import read_shards
from earthprobe.progress import Progress

log = logging.getLogger(__name__)

ROW_GROUP = 128  # patches; 0.4 MB of 768 floats, of which a merge holds one or more a shard


def embed_shard(
    shards: Sequence[Path],
    statistics: Sequence[Path],
    weights: Path,
    *,
    bands: Sequence[str],
    wavelengths: Sequence[float],
    image_size: int,
    precision: str,
    device: str,
    threads: int,
    output: Path,
) -> None:
    """Writes the embeddings of a shard's patches, in the shard's order.

    Args:
        shards: the shard's pixels, a file a sensor; a patch that one of them lacks is left out.
        statistics: of the same sensors, each band's mean and deviation over the train split, which the z-score uses.
        weights: what :func:`earthprobe.embed_weights.store_weights` wrote.
        bands: the bands that the model sees, in this order.
        wavelengths: one a band, in micrometres.
        image_size: pixels along a side that the patches are resized to.
        precision: ``float32``, ``bfloat16`` or ``auto`` (see :func:`choose_precision`).
        device: ``cpu``, ``cuda`` or ``auto`` (cuda where there is one).
        threads: CPU threads.
        output: columns ``patch_id`` and ``embedding``, fixed-size list<float32>[dimensions].

    Raises:
        UserError: an embedding is not finite, the shard lacks a band, or there is no GPU where one was asked for.
    """
    torch.set_num_threads(threads)
    where = choose_device(device)
    dtype = choose_precision(precision, where)
    torch.backends.cudnn.allow_tf32 = False  # a GPU's TF32 would be float32 in name only
    torch.backends.cuda.matmul.allow_tf32 = False
    source = read_metadata(shards[0])
    if len(bands) != len(wavelengths):
        raise UserError(f"{len(wavelengths)} wavelengths for {len(bands)} bands: give one a band")
    held = [band for path in shards for band in read_metadata(path)["bands"]]
    absent = [band for band in bands if band not in held]
    if absent:
        raise UserError(f"{shards[0]} has no band {absent[0]}: it holds {', '.join(held)}")
    train: dict[str, dict[str, float]] = {}
    for path in statistics:
        train |= json.loads(path.read_text(encoding="utf-8"))["train"]
    mean, std = ([train[band][figure] for band in bands] for figure in ("mean", "std"))
    model, origin = load_model(weights)
    try:
        encoder = DofaEncoder(model, wavelengths, mean, std, image_size, dtype, where)
    except torch.OutOfMemoryError as error:
        raise UserError(NO_ROOM) from error
    schema = with_metadata(
        embedding_schema(encoder.dimensions),
        {
            "archive": source["archive"],
            "simulated": source["simulated"],
            "licence": source.get("licence"),  # shards of an earlier version do not say
            "weights_licence": WEIGHTS_LICENCE if origin["weights"] in PUBLISHED_WEIGHTS else None,
            **origin,
            "bands": bands,
            "wavelengths": wavelengths,
            "normalization": {"kind": "zscore", "mean": mean, "std": std},
            "image_size": image_size,
            "pooling": POOLING,
            "precision": str(dtype).removeprefix("torch."),
            "device": where,
            "torch_version": torch.__version__,
            "torchgeo_version": torchgeo.__version__,
        },
    )
    log.info("%s on %s in %s, %d threads", origin["model"], where, dtype, threads)
    ids: list[str] = []
    waiting: list[npt.NDArray[np.float32]] = []
    with parquet(shards[0]) as file:
        progress = Progress(log, file.metadata.num_rows)
    with (
        closing(read_ahead(read_shards(shards, bands, BATCH[where]), pin=where == "cuda")) as batches,
        replacing(output) as part,
    ):
        with pq.ParquetWriter(part, schema, compression="none", use_dictionary=False) as writer:
            for batch_ids, vectors in Forward(encoder, where).over(batches):
                if not np.isfinite(vectors).all():
                    bad = batch_ids[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]
                    raise UserError(f"{shards[0]}: the embedding of {bad} is not finite: check the weights")
                ids += batch_ids
                waiting.append(vectors)
                if sum(map(len, waiting)) >= ROW_GROUP:
                    _write(writer, ids, waiting)
                progress.add(len(batch_ids))
            _write(writer, ids, waiting)
        check_ids(part, ids)


def embedding_schema(dimensions: int) -> pa.Schema:
    """The columns of a feature set. That no value can be null makes it faster to read."""
    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), dimensions)
    return pa.schema([("patch_id", pa.string()), pa.field("embedding", vector, nullable=False)])


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
            log.warning("this job was given a GPU that torch does not see: does its driver fit? The CPU embeds instead")
        return "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here: use --device auto or cpu")
    return device


def choose_precision(precision: str, device: str) -> torch.dtype:
    """The arithmetic to run in: ``auto`` is bfloat16 where ``device`` has units for it, else float32."""
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else _cpu_has_bfloat16()
        precision = "bfloat16" if fast else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "arm_bf16"))
