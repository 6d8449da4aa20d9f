"""A transformer of bfloat16 on a CPU, as fast as its matrix products."""

from typing import Any

import torch
from timm.layers.attention import Attention
from timm.layers.mlp import Mlp
from torch import Tensor, nn

TOKENS = 8 * 197
"""Rows of a typical matrix product on a CPU, for which its weights are laid out; any other number works, too."""


def speed_up(model: nn.Module) -> None:
    """Lets the transformers of a model, which are timm's and of bfloat16, do the same sums on a CPU in less time.

    Attention as two matrix products is twice as fast there as torch's fused kernel, and a layer whose weights are
    stored as the matrix product wants them spares their rearrangement in each call (docs/performance.md).
    """
    for module in list(model.modules()):
        part: Any = module
        if isinstance(module, Attention) and part.proj.weight.dtype == torch.bfloat16:
            part.fused_attn = False
            if PackedLinear.available():
                part.qkv, part.proj = PackedLinear(part.qkv), PackedLinear(part.proj)
        elif isinstance(module, Mlp) and isinstance(part.fc1, nn.Linear) and part.fc1.weight.dtype == torch.bfloat16:
            if not PackedLinear.available():
                continue
            if type(part.act) is nn.GELU and part.act.approximate == "none":
                part.fc1, part.act = PackedLinear(part.fc1, "gelu"), nn.Identity()
            part.fc2 = PackedLinear(part.fc2)


class PackedLinear(nn.Module):
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
        """The layer's result, shape (..., features)."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._arguments)
        return result
