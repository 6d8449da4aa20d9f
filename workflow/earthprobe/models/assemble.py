"""From an entry of a configuration to a model that is ready to run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.models import units
from earthprobe.models.interface import Encoder, Inputs, Model, Normalization, Prepare
from earthprobe.models.options import options_of
from earthprobe.models.protocols import PROTOCOLS


def inputs_of(entry: Mapping[str, Any], statistics: Sequence[Path]) -> Inputs:
    """What a model will see.

    Args:
        entry: of the feature set, with all defaults.
        statistics: ``band_statistics/<sensor>.json`` of the sensors that it sees.
    """
    train: dict[str, dict[str, float]] = {}
    known: dict[str, dict[str, Any]] = {}
    for path in statistics:
        found = json.loads(path.read_text(encoding="utf-8"))
        train |= found["train"]
        known |= found["bands"]
    mean, std = ([train[band][figure] for band in entry["bands"]] for figure in ("mean", "std"))
    inputs = Inputs(
        entry["bands"],
        mean,
        std,
        entry.get("image_size"),
        entry.get("normalization", "none"),
        size=max(band["size"] for band in known.values()),
        wavelengths=[known[band]["wavelength"] for band in entry["bands"]],
    )
    protocol = PROTOCOLS.get(entry.get("protocol") or "")
    if protocol is None:
        return inputs
    if protocol.figures:
        mean, std = ([protocol.figures[band][number] for band in entry["bands"]] for number in (0, 1))
    return inputs._replace(
        mean=mean,
        std=std,
        image_size=protocol.size_of(entry.get("model", "")),
        # Only what has a normalisation is given one: image statistics are those of the pixels.
        normalization="zscore" if "normalization" in entry else "none",
        align_corners=protocol.align_corners,
    )


def encoder_of(
    entry: Mapping[str, Any], inputs: Inputs, weights: Path | None, device: str, dtype: torch.dtype
) -> Encoder:
    """The model of a feature set behind what prepares its pixels, on its device and frozen.

    Args:
        entry: of the feature set, with all defaults.
        inputs: what it will see.
        weights: what the steps ``embed_weights`` or ``fit_model`` wrote, where it has weights.
        device: ``cpu`` or ``cuda``.
        dtype: the arithmetic; int8 is that of the linear layers of transformers, and leaves bfloat16 to the rest, or
            float32 where the CPU has no units for that.

    Raises:
        UserError: the model is not made for what it would see, or has no layers for int8.
    """
    model: Model = registry.load("models", entry["kind"]).build(weights, inputs, **options_of(entry))
    if device == "cpu" and dtype in (torch.bfloat16, torch.int8):
        # timm takes seconds, and statistics need none of it
        from earthprobe.models.packed import Int8Linear, PackedLinear, speed_up

        model.place(device, torch.bfloat16 if dtype == torch.bfloat16 or units.bfloat16() else torch.float32)
        found = speed_up(model, Int8Linear if dtype == torch.int8 else PackedLinear)
        if dtype == torch.int8 and not found:
            name = entry.get("model") or entry["kind"]
            raise UserError(f"precision: int8 is made for transformers, and {name} has none of timm's: use auto")
    else:
        model.place(device, dtype)
    normalization = _normalization(entry["kind"], inputs, model)
    prepare = Prepare(normalization, inputs.image_size or model.image_size, inputs.align_corners)
    return Encoder(prepare.to(device), model).eval().requires_grad_(False)


def _normalization(kind: str, inputs: Inputs, model: Model) -> Normalization | None:
    match inputs.normalization:
        case "zscore":
            return Normalization(inputs.mean, inputs.std)
        case "native" if model.native is None:
            raise UserError(
                f"{kind}: these weights were not trained on {', '.join(inputs.bands)} in the unit that an archive has"
                " them in: use normalization: zscore, or other weights"
            )
        case "native":
            return model.native
    return None
