"""Find what a feature set costs: parameters, operations, time, memory, energy and bytes."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from earthprobe.config import entry_of
from earthprobe.models.assemble import encoder_of, inputs_of
from earthprobe.storage.files import read_json, write_json

BYTES = {"float32": 4, "float16": 2, "int8": 1}


def run(
    *,
    model: str,
    statistics: Sequence[Path],
    weights: Path | None = None,
    jobs: Sequence[Path],
    output: Path,
) -> None:
    """Writes what a feature set costs as JSON.

    Operations are those of matrix products, convolutions and attention for one patch, as torch counts them: a
    multiplication with its addition is two.

    Args:
        model: JSON of the feature set: ``kind``, ``bands`` and the options of its kind.
        statistics: of the sensors that it sees.
        weights: what the steps ``embed-weights`` or ``fit-model`` wrote, where the model has weights.
        jobs: what each job of the step ``embed`` measured of itself.
        output: ``parameters``, ``flop`` (of a patch), ``dimensions``, ``bytes`` (of a vector), ``patches``,
            ``seconds`` (of the forward passes), ``patches_per_second``, ``peak_mib`` (of the largest job), ``joules``
            (null where neither RAPL nor NVML can be read), ``device`` and ``threads``.
    """
    entry = entry_of("models", model, "--model")
    inputs = inputs_of(entry, statistics)
    encoder = encoder_of(entry, inputs, weights, "cpu", torch.float32)
    pixels = torch.zeros(1, len(entry["bands"]), inputs.size, inputs.size)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        encoder(pixels, torch.ones(1, 2), torch.zeros(1, 2))
    measured = [read_json(path) for path in jobs]
    seconds = sum(job["seconds"] for job in measured)
    patches = sum(job["patches"] for job in measured)
    energy = [job["joules"] for job in measured]
    dimensions = entry["pca"] or encoder.model.dimensions
    tensors = [*encoder.model.parameters(), *encoder.model.buffers()]
    write_json(
        output,
        {
            "parameters": sum(tensor.numel() for tensor in tensors if tensor.is_floating_point()),
            "flop": counter.get_total_flops(),
            "dimensions": dimensions,
            "bytes": dimensions * BYTES[entry["store"]],
            "patches": patches,
            "seconds": seconds,
            "patches_per_second": patches / seconds if seconds else None,
            "peak_mib": max(job["peak_mib"] for job in measured),
            "joules": None if None in energy else sum(energy),
            "device": measured[0]["device"],
            "threads": measured[0]["threads"],
        },
    )
