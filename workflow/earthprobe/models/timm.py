"""Models of timm behind the interface of every frozen model here."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import timm
import torch
from torch import Tensor, nn

from earthprobe.errors import UserError
from earthprobe.models.interface import Batch, Inputs, Model, Normalization, Published
from earthprobe.models.pooling import Pooling, check, in_words, pooled
from earthprobe.models.weights import load

log = logging.getLogger(__name__)

STRETCH = {"VV": (-25.0, 25.0), "VH": (-32.5, 25.0), "B04": (0.0, 3000.0), "B03": (0.0, 3000.0), "B02": (0.0, 3000.0)}
"""Of each band, the value that becomes 0, and how much above it becomes 1; in dB and reflectance x 10,000."""


def architecture(model: str, bands: Sequence[str] = ()) -> nn.Module:
    """Timm's model for three colours without its classifier, initialised from torch's global seed.

    Raises:
        UserError: timm has no such model.
    """
    try:
        return timm.create_model(model, num_classes=0).eval()
    except (RuntimeError, ValueError, AssertionError) as error:
        near = ", ".join(timm.list_models(f"*{model.split('.')[0]}*")[:5])
        hint = f"; did you mean one of {near}?" if near else ""
        raise UserError(f"timm {timm.__version__} has no model {model}: {_line(error)}{hint}") from error


def published(model: str) -> Mapping[str, Published]:
    """There is no list: timm's own loader knows where the weights are (:func:`fetch`)."""
    return {}


def fetch(model: str) -> dict[str, Tensor]:
    """The published weights, by timm's own loader, from the hub or its cache.

    Raises:
        UserError: there are none, or they cannot be had.
    """
    cfg = timm.get_pretrained_cfg(model)
    where = cfg and (f"huggingface.co/{cfg.hf_hub_id}" if cfg.hf_hub_id else cfg.url)
    if not where:
        raise UserError(f"timm {timm.__version__} has no published weights of {model}: name one of its tags")
    try:
        return dict(timm.create_model(model, pretrained=True, num_classes=0).state_dict())
    except Exception as error:  # the hub's client raises almost anything
        raise UserError(
            f"the weights of {model} cannot be fetched from {where} ({_line(error)}): fetch them elsewhere and give the"
            " path of the file as `weights`"
        ) from error


def tidy(state: Mapping[str, Tensor], model: str) -> dict[str, Tensor]:
    """A state dict under timm's own names, without the classifier.

    A port whose tensors have other names, but the same shapes in the same order, is taken for what it is.
    """
    with torch.device("meta"):
        whole = timm.create_model(model).state_dict()
        kept = timm.create_model(model, num_classes=0).state_dict()
    if state.keys() != whole.keys() and [v.shape for v in state.values()] == [v.shape for v in whole.values()]:
        log.warning("the tensors have other names than timm's; they were matched by their order and shapes")
        state = dict(zip(whole, state.values(), strict=True))
    return {key: value for key, value in state.items() if key in kept or key not in whole}


def build(
    weights: Path,
    inputs: Inputs,
    *,
    model: str,
    pooling: Pooling = "default",
    layer: int | None = None,
) -> "Timm":
    """A model of timm for these bands.

    Args:
        weights: what the step ``embed_weights`` wrote.
        inputs: what it will see.
        model: timm's name of it.
        pooling: how a vector comes from the output.
        layer: the block whose output is taken; None takes the model's own.

    Raises:
        UserError: the model has no such layer, or no class token.
    """
    frozen: Any = load(weights, lambda: architecture(model))
    size = inputs.image_size or frozen.pretrained_cfg["input_size"][-1]
    if hasattr(frozen, "set_input_size"):
        frozen.set_input_size(img_size=size)  # interpolates the position embedding
    check(frozen, pooling, layer)
    return Timm(frozen, inputs, pooling, layer, size)


class Timm(Model):
    """A frozen model of timm for three colours."""

    def __init__(self, model: Any, inputs: Inputs, pooling: Pooling, layer: int | None, image_size: int) -> None:
        """Takes the model and what its weights were trained with.

        Args:
            model: of timm, without a classifier.
            inputs: what it will see.
            pooling: how a vector comes from the output.
            layer: the block whose output is taken.
            image_size: pixels along a side.
        """
        super().__init__()
        self.model, self.image_size = model, image_size
        self._how: tuple[Pooling, int | None] = (pooling, layer)
        self._is_native = inputs.normalization == "native"
        self._false_colour = len(inputs.bands) == 2
        self.pooling = in_words(pooling, layer)
        self.settings = {"colours": "VV, VH, VV - VH" if self._false_colour else "B04, B03, B02"}
        self.native = Normalization(
            [STRETCH[band][0] for band in inputs.bands], [STRETCH[band][1] for band in inputs.bands], (0.0, 1.0)
        )
        self.mean: Tensor
        self.std: Tensor
        cfg = model.pretrained_cfg
        self.register_buffer("mean", torch.tensor(cfg["mean"]).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(cfg["std"]).view(-1, 1, 1))
        with torch.inference_mode():
            self.dimensions = pooled(model, torch.zeros(1, 3, image_size, image_size), *self._how).shape[1]

    def place(self, device: str, dtype: torch.dtype) -> Self:
        """Moves the model; colours are made in float32."""
        self.model.to(dtype)
        self.to(device)
        return self

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches; see :class:`earthprobe.models.interface.Model`."""
        x = batch.pixels
        if self._false_colour:
            difference = x[:, :1] - x[:, 1:] + (0.5 if self._is_native else 0.0)
            x = torch.cat([x, difference.clamp(0, 1) if self._is_native else difference], dim=1)
        if self._is_native:
            x = (x - self.mean) / self.std
        x = x.to(next(self.model.parameters()).dtype)
        return pooled(self.model, x, *self._how).float()


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
