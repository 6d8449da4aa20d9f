"""DOFA behind the interface of every frozen model here."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchgeo.models import (
    DOFABase16_Weights,
    DOFALarge16_Weights,
    dofa_base_patch16_224,
    dofa_large_patch16_224,
)
from torchgeo.models.dofa import position_embedding

from earthprobe.errors import UserError
from earthprobe.models.interface import Batch, Inputs, Model
from earthprobe.models.packed import speed_up
from earthprobe.models.weights import load
from earthprobe.sensors import BANDS

MAY_LACK = {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}
"""Keys that the published checkpoints lack, since DOFA was pretrained without them."""

PLACEHOLDER = 3.75
"""The wavelength, in micrometres, with which DOFA v1 was trained for both polarisations of radar."""

WITHDRAWN = "7cc0f413"
"""SHA-256 prefix of DOFA base weights whose patch embedding was reshaped wrongly (torchgeo PR #2256)."""


class Architecture(NamedTuple):
    """How torchgeo builds a model, and the enum of its published weights."""

    build: Callable[..., nn.Module]
    weights: Any


ARCHITECTURES = {
    "dofa_base_patch16_224": Architecture(dofa_base_patch16_224, DOFABase16_Weights),
    "dofa_large_patch16_224": Architecture(dofa_large_patch16_224, DOFALarge16_Weights),
}


def architecture(model: str) -> nn.Module:
    """Torchgeo's model without its classification head, initialised from torch's global seed."""
    return ARCHITECTURES[model].build(num_classes=0).eval()


def published(model: str) -> Mapping[str, str]:
    """The URLs of the model's published weights by their names in torchgeo's enum."""
    return {name: member.url for name, member in ARCHITECTURES[model].weights.__members__.items()}


def refuse(path: Path, digest: str) -> None:
    """Refuses the withdrawn weights, by their hash or by the one in their name.

    Raises:
        UserError: these are they.
    """
    if digest.startswith(WITHDRAWN) or f"-{WITHDRAWN}." in path.name:
        raise UserError(
            f"{path} holds the withdrawn DOFA weights {WITHDRAWN}, whose patch embedding is wrong"
            " (torchgeo PR #2256): use dofa_base_patch16_224-a0275954.pth"
        )


def build(weights: Path, inputs: Inputs, *, model: str, wavelengths: Sequence[float] | None = None) -> "Dofa":
    """DOFA for these bands.

    Args:
        weights: what the step ``embed_weights`` wrote.
        inputs: what it will see.
        model: torchgeo's name of it.
        wavelengths: one a band, in micrometres; None takes the sensor's, and :data:`PLACEHOLDER` of radar.

    Raises:
        UserError: not as many wavelengths as bands.
    """
    if wavelengths is None:
        wavelengths = [BANDS[band].wavelength or PLACEHOLDER for band in inputs.bands]
    if len(wavelengths) != len(inputs.bands):
        raise UserError(f"{len(wavelengths)} wavelengths for {len(inputs.bands)} bands: give one for each band")
    return Dofa(load(weights, lambda: architecture(model)), wavelengths)


class Dofa(Model):
    """Frozen DOFA for a fixed set of bands.

    DOFA generates its patch embedding from the bands' wavelengths. These are fixed here, so the generated
    convolution is computed once and the rest is a plain ViT; the result equals torchgeo's
    ``forward_features`` exactly.
    """

    pooling = "mean of the patch tokens (class token left out), then LayerNorm (fc_norm)"

    def __init__(self, model: nn.Module, wavelengths: Sequence[float]) -> None:
        """Takes torchgeo's model apart.

        Args:
            model: a DOFA of torchgeo, float32.
            wavelengths: one a band, in micrometres.
        """
        super().__init__()
        self.settings = {"wavelengths": list(wavelengths)}
        embed: Any = model.patch_embed
        with torch.inference_mode():
            waves = position_embedding(embed.dynamic_embed_dim, torch.tensor(wavelengths) * 1000)
            weight, bias = embed.weight_generator(embed.fclayer(waves))
        side = embed.kernel_size
        kernel = weight.view(len(wavelengths), side, side, embed.embed_dim).permute(3, 0, 1, 2)
        position: Any = model.pos_embed
        self.kernel: Tensor
        self.bias: Tensor
        self.position: Tensor
        self.class_token: Tensor
        self.register_buffer("kernel", (kernel * embed.scaler).contiguous())
        self.register_buffer("bias", bias.flatten() * embed.scaler)
        self.register_buffer("position", position[:, 1:].detach())
        self.register_buffer("class_token", (model.cls_token + position[:, :1]).detach())
        self.blocks: Any = model.blocks
        self.norm: Any = model.fc_norm
        self.dimensions = self.kernel.shape[0]
        self.eval().requires_grad_(False)

    def place(self, device: str, dtype: torch.dtype) -> Self:
        """Moves the model; the transformer computes in ``dtype``, pooling in float32."""
        for name in ("kernel", "bias", "position", "class_token"):
            setattr(self, name, getattr(self, name).to(dtype))
        self.blocks.to(dtype)
        self.to(device)
        if dtype == torch.bfloat16 and device == "cpu":
            speed_up(self.blocks)
        return self

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches; see :class:`earthprobe.models.interface.Model`."""
        x = batch.pixels.to(self.kernel.dtype)
        x = F.conv2d(x, self.kernel, self.bias, stride=self.kernel.shape[-1], padding=1)
        x = x.flatten(2).transpose(1, 2) + self.position
        x = torch.cat((self.class_token.expand(len(x), -1, -1), x), dim=1)
        for block in self.blocks:
            x = block(x)
        pooled: Tensor = self.norm(x[:, 1:].float().mean(dim=1))
        return pooled
