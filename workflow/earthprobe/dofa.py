"""DOFA behind the interface of every frozen model here: a batch of patches in, a batch of vectors out."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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

POOLING = "mean of the patch tokens (class token left out), then LayerNorm (fc_norm)"
GENERATED = {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}
"""Keys that the published checkpoints lack, since DOFA was pretrained without them."""


TOKENS = 8 * 197
"""Rows of a typical matrix product on a CPU, for which its weights are laid out; any other number works, too."""


class Architecture(NamedTuple):
    """How torchgeo builds a model, and the enum of its published weights."""

    build: Callable[..., nn.Module]
    weights: Any


ARCHITECTURES = {
    "dofa_base_patch16_224": Architecture(dofa_base_patch16_224, DOFABase16_Weights),
    "dofa_large_patch16_224": Architecture(dofa_large_patch16_224, DOFALarge16_Weights),
}


def build(model: str) -> nn.Module:
    """Torchgeo's model without its classification head, initialised from torch's global seed."""
    return ARCHITECTURES[model].build(num_classes=0).eval()


class DofaEncoder(nn.Module):
    """Frozen DOFA for a fixed set of bands.

    DOFA generates its patch embedding from the bands' wavelengths. These are fixed here, so the generated
    convolution is computed once and the rest is a plain ViT; the result equals torchgeo's
    ``forward_features`` exactly.
    """

    def __init__(
        self,
        model: nn.Module,
        wavelengths: Sequence[float],
        mean: Sequence[float],
        std: Sequence[float],
        image_size: int,
        dtype: torch.dtype,
        device: str = "cpu",
    ) -> None:
        """Takes torchgeo's model apart.

        Args:
            model: a DOFA of torchgeo, float32.
            wavelengths: one a band, in micrometres.
            mean: one a band, in the unit of its pixels.
            std: the same.
            image_size: pixels along a side that the patches are resized to.
            dtype: the arithmetic of the transformer; normalisation, resizing and pooling are float32.
            device: where to run, ``cpu`` or ``cuda``.
        """
        super().__init__()
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
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("kernel", (kernel * embed.scaler).contiguous().to(dtype))
        self.register_buffer("bias", (bias.flatten() * embed.scaler).to(dtype))
        self.register_buffer("position", position[:, 1:].to(dtype))
        self.register_buffer("class_token", (model.cls_token + position[:, :1]).to(dtype))
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))
        self.blocks: Any = model.blocks
        self.blocks.to(dtype)
        self.norm: Any = model.fc_norm
        self.image_size = image_size
        self.eval().requires_grad_(False).to(device)
        if dtype == torch.bfloat16 and device == "cpu":
            _speed_up(self.blocks)

    @property
    def dimensions(self) -> int:
        """The length of an embedding: 768 for base, 1024 for large."""
        return self.kernel.shape[0]

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeds patches.

        Args:
            pixels: float32, shape (batch, bands, height, width).

        Returns:
            Embeddings, float32, shape (batch, dimensions).
        """
        x = (pixels - self.mean) / self.std
        x = F.interpolate(x, size=(self.image_size, self.image_size), mode="bilinear", align_corners=False)
        x = F.conv2d(x.to(self.kernel.dtype), self.kernel, self.bias, stride=self.kernel.shape[-1], padding=1)
        x = x.flatten(2).transpose(1, 2) + self.position
        x = torch.cat((self.class_token.expand(len(x), -1, -1), x), dim=1)
        for block in self.blocks:
            x = block(x)
        pooled: Tensor = self.norm(x[:, 1:].float().mean(dim=1))
        return pooled


def _speed_up(blocks: Any) -> None:
    """Lets a transformer of bfloat16 on a CPU do the same sums in less time.

    Attention as two matrix products is twice as fast there as torch's fused kernel, and a layer whose weights are
    stored as the matrix product wants them spares their rearrangement in each call (docs/performance.md).
    """
    for block in blocks:
        block.attn.fused_attn = False
        if _PackedLinear.available():
            block.attn.qkv, block.attn.proj = _PackedLinear(block.attn.qkv), _PackedLinear(block.attn.proj)
            if isinstance(block.mlp.act, nn.GELU) and block.mlp.act.approximate == "none":
                block.mlp.fc1, block.mlp.act = _PackedLinear(block.mlp.fc1, "gelu"), nn.Identity()
            block.mlp.fc2 = _PackedLinear(block.mlp.fc2)


class _PackedLinear(nn.Module):
    """A linear layer in oneDNN's own layout, by the operators that torch.compile puts in its place.

    The result is that of the plain layer, to the bit without an activation; torch.compile itself would need a C++
    compiler on the user's machine and half a minute in each job.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), TOKENS)
        self._bias = None if linear.bias is None else linear.bias.detach()
        self._arguments: tuple[str, list[float], str] = (activation, [], "none" if activation == "gelu" else "")

    @staticmethod
    def available() -> bool:
        """Whether this build of torch has the operators, and this CPU what they need for bfloat16."""
        names = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
        return all(hasattr(torch.ops.mkldnn, name) for name in names) and bool(
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._arguments)
        return result
