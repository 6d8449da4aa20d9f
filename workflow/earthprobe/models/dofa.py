"""DOFA behind the interface of every frozen model here."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn
from torchgeo.models import (
    DOFABase16_Weights,
    DOFALarge16_Weights,
    dofa_base_patch16_224,
    dofa_large_patch16_224,
)
from torchgeo.models.dofa import position_embedding

from earthprobe.errors import UserError
from earthprobe.models.baked import BakedVit, cells_of
from earthprobe.models.interface import Batch, Inputs, Published
from earthprobe.models.pooling import Pooling
from earthprobe.models.weights import load

DECODER = {"mask_token", "norm.weight", "norm.bias", "projector.weight", "projector.bias"}
"""What the authors' own checkpoint (DOFA_ViT_base_e100.pth) has besides: parts of the pretraining that are no part of
the encoder. torchgeo's file is without them."""

MAY_LACK = {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias", *DECODER}
"""Keys that the published checkpoints lack, since DOFA was pretrained without them, or have besides."""

Combine = Literal["together", "concat"]
"""Whether the bands are seen at once, or one by one."""

PLACEHOLDER = 3.75
"""The wavelength, in micrometres, with which DOFA v1 was trained for both polarisations of radar."""

SIZE = 224
"""Pixels along a side that the position embedding is made for."""

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


def architecture(model: str, bands: Sequence[str] = ()) -> nn.Module:
    """Torchgeo's model without its head, the same for all bands, initialised from torch's global seed."""
    return ARCHITECTURES[model].build(num_classes=0).eval()


def published(model: str) -> Mapping[str, Published]:
    """The model's published weights by their names in torchgeo's enum."""
    return {name: Published(member.url) for name, member in ARCHITECTURES[model].weights.__members__.items()}


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


def build(
    weights: Path,
    inputs: Inputs,
    *,
    model: str,
    wavelengths: Sequence[float] | None = None,
    pooling: Pooling = "default",
    layer: int | None = None,
    combine: Combine = "together",
) -> "Dofa":
    """DOFA for these bands.

    Args:
        weights: what the step ``embed_weights`` wrote.
        inputs: what it will see.
        model: torchgeo's name of it.
        wavelengths: one a band, in micrometres; None takes the sensor's, and :data:`PLACEHOLDER` of radar.
        pooling: how a vector comes from the tokens.
        layer: the block whose output is taken; None takes the last.
        combine: whether the bands are seen ``together``, or each by itself and their vectors stand side by side.

    Raises:
        UserError: not as many wavelengths as bands, or there is no such block.
    """
    if wavelengths is None:
        wavelengths = [inputs.wavelength_of(band) or PLACEHOLDER for band in inputs.bands]
    if len(wavelengths) != len(inputs.bands):
        raise UserError(f"{len(wavelengths)} wavelengths for {len(inputs.bands)} bands: give one for each band")
    frozen = load(weights, lambda: architecture(model))
    kind = Dofa if combine == "together" else BandByBand
    return kind(frozen, wavelengths, inputs.image_size or SIZE, pooling, layer)


class Dofa(BakedVit):
    """Frozen DOFA for a fixed set of bands.

    DOFA generates its patch embedding from the bands' wavelengths. These are fixed here, so the generated
    convolution is computed once and the rest is a plain ViT; the result equals torchgeo's
    ``forward_features`` exactly.
    """

    def __init__(
        self,
        model: nn.Module,
        wavelengths: Sequence[float],
        image_size: int = SIZE,
        pooling: Pooling = "default",
        layer: int | None = None,
    ) -> None:
        """Takes torchgeo's model apart.

        Args:
            model: a DOFA of torchgeo, float32.
            wavelengths: one a band, in micrometres.
            image_size: pixels along a side, to which the position embedding is interpolated, bicubic.
            pooling: how a vector comes from the tokens.
            layer: the block whose output is taken; None takes the last.
        """
        parts: Any = model
        kernel, bias = generated(parts.patch_embed, wavelengths)
        position = parts.pos_embed
        if image_size != SIZE:
            cells = cells_of(image_size, parts.patch_embed.kernel_size)
            position = resample_abs_pos_embed(position, [cells, cells])
        super().__init__(
            kernel,
            bias,
            position,
            parts.cls_token,
            parts.blocks,
            parts.fc_norm,
            pooling,
            layer,
        )
        self.settings = {"wavelengths": list(wavelengths)}


class BandByBand(Dofa):
    """DOFA that sees one band at a time; the vectors of the bands stand side by side.

    Its patch embedding adds up what its kernels see of each band, and the kernels of equal wavelengths are equal, so
    that of VV and VH at the wavelength of radar it sees the sum alone.
    """

    def __init__(
        self,
        model: nn.Module,
        wavelengths: Sequence[float],
        image_size: int = SIZE,
        pooling: Pooling = "default",
        layer: int | None = None,
    ) -> None:
        """See :class:`Dofa`."""
        super().__init__(model, wavelengths, image_size, pooling, layer)
        parts: Any = model
        alone = [generated(parts.patch_embed, [wavelength]) for wavelength in wavelengths]
        self.kernel = torch.cat([kernel for kernel, _ in alone], dim=1)
        self.bias = torch.stack([bias for _, bias in alone])
        self.width, self.dimensions = self.dimensions, self.dimensions * len(wavelengths)
        self.pooling += "; one pass a band, side by side"
        self.settings = {**self.settings, "combine": "concat"}

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches; see :class:`earthprobe.models.interface.Model`."""
        bands = range(len(self.bias))
        vectors = [
            self.embedded(self.tokens(batch.pixels[:, i : i + 1], self.kernel[:, i : i + 1], self.bias[i]))
            for i in bands
        ]
        return torch.cat(vectors, dim=1)


def generated(embed: Any, wavelengths: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The kernels and the bias that DOFA's patch embedding generates for some wavelengths.

    Args:
        embed: ``patch_embed`` of torchgeo's model.
        wavelengths: one a band, in micrometres.

    Returns:
        Shapes (width, bands, side, side) and (width,).
    """
    with torch.inference_mode():
        waves = position_embedding(embed.dynamic_embed_dim, torch.tensor(wavelengths) * 1000)
        weight, bias = embed.weight_generator(embed.fclayer(waves))
        side = embed.kernel_size
        kernel = weight.view(len(wavelengths), side, side, embed.embed_dim).permute(3, 0, 1, 2)
        return kernel * embed.scaler, bias.flatten() * embed.scaler
