"""A transformer of bfloat16 on a CPU, as fast as its matrix products, or with products of integers."""

from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers.attention import Attention
from timm.layers.mlp import Mlp
from torch import Tensor, nn

from earthprobe.models import units

TOKENS = 8 * 197
"""Rows of a typical matrix product on a CPU, for which its weights are laid out; any other number works, too."""

STEPS = 127
"""Integers of 8 bits on either side of zero."""

SCORES = 2**19
"""Scores of attention that a core computes at a time: 1 MiB in bfloat16, which stays in its cache."""

TINY = torch.finfo(torch.float32).tiny

Activation = Literal["none", "gelu"]


class PackedLinear(nn.Module):
    """A linear layer in oneDNN's own layout, by the operators that torch.compile puts in its place.

    The result is that of the plain layer, to the bit without an activation; torch.compile itself would need a C++
    compiler on the user's machine and half a minute in each job.
    """

    def __init__(self, linear: nn.Linear, activation: Activation = "none") -> None:
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


class Int8Linear(nn.Module):
    """A linear layer of integers: 255 steps for a row of the weights, and for each token.

    A token has a scale of its own, so that its vector does not depend on which patches are computed with it; and sums
    of integers are exact. Torch's own dynamic layers have one scale for a whole batch, and are to be removed.
    """

    def __init__(self, linear: nn.Linear, activation: Activation = "none") -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self._scale = (weight.abs().amax(dim=1) / STEPS).clamp_min(TINY)
        steps = (weight / self._scale[:, None]).round().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(steps, [TOKENS, weight.shape[1]])
        self._zero = torch.zeros(len(steps), dtype=torch.int32)
        self._dtype = linear.weight.dtype
        self._bias = torch.zeros(len(steps), dtype=self._dtype) if linear.bias is None else linear.bias.detach()
        self._activation = activation

    @staticmethod
    def available() -> bool:
        """Whether this build of torch has the operators, and this CPU units for integers of 8 bits."""
        names = ("qlinear_prepack", "qlinear_pointwise")
        return units.int8() and all(hasattr(torch.ops.onednn, name) for name in names)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result, shape (..., features)."""
        tokens = x.flatten(end_dim=-2).float()  # of float32 the caller's own, which must stay as they are
        most = torch.maximum(tokens.amax(dim=-1, keepdim=True), -tokens.amin(dim=-1, keepdim=True)).clamp_min_(TINY)
        # The product wants integers without a sign, and torch is eight times slower in making those.
        steps = (tokens * (STEPS / most)).round_().to(torch.int8).view(torch.uint8).bitwise_xor_(128)
        product = torch.ops.onednn.qlinear_pointwise(
            steps, 1.0, 128, self._weight, self._scale, self._zero, None, 1.0, 0, self._dtype, "none", [], ""
        )
        result = torch.addcmul(self._bias, product, (most / STEPS).to(self._dtype))
        if self._activation == "gelu":
            result = F.gelu(result)
        return result.view(*x.shape[:-1], -1)


class PackedAttention(nn.Module):
    """Attention as two matrix products, over as many patches or tokens at a time as the caches hold scores of.

    Torch's fused kernel takes up to twice as long in bfloat16, and so do the products of all patches at once.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.plain = attention

    def forward(self, x: Tensor, **masks: Any) -> Tensor:
        """The layer's result, shape (patches, tokens, features)."""
        plain: Any = self.plain
        result: Tensor
        if any(mask is not None and mask is not False for mask in masks.values()):
            result = plain(x, **masks)
            return result
        heads = plain.qkv(x).unflatten(2, (3, plain.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = plain.q_norm(heads[0]) * plain.scale, plain.k_norm(heads[1]).transpose(-2, -1), heads[2]
        scores = SCORES * torch.get_num_threads()
        patches = max(1, scores // (plain.num_heads * x.shape[1] ** 2))
        tokens = max(1, scores // (plain.num_heads * x.shape[1]))
        found = x.new_empty((*x.shape[:2], *v.shape[1::2]))
        for first in range(0, len(x), patches):
            some = slice(first, first + patches)
            for top in range(0, x.shape[1], tokens):
                here = slice(top, top + tokens)
                found[some, here] = ((q[some, :, here] @ k[some]).softmax(-1) @ v[some]).transpose(1, 2)
        result = plain.proj(found.flatten(2))
        return result


def speed_up(model: nn.Module, layer: type[PackedLinear] | type[Int8Linear] = PackedLinear) -> int:
    """Lets the transformers of a model, which are timm's, do their sums on a CPU in less time.

    A layer whose weights are stored as the matrix product wants them spares their rearrangement in each call
    (docs/performance.md); for attention see :class:`PackedAttention`.

    Args:
        model: changed in place; what is in float32 stays, unless ``layer`` is :class:`Int8Linear`.
        layer: what linear layers become, where this machine has what it needs.

    Returns:
        How many linear layers became one.
    """
    found = 0
    dtypes = (torch.bfloat16, torch.float32) if layer is Int8Linear else (torch.bfloat16,)
    for module in list(model.modules()):
        part: Any = module
        for name, child in list(module.named_children()):
            if type(child) is Attention and is_plain(child):
                setattr(module, name, PackedAttention(child))
        if isinstance(module, Attention) and part.proj.weight.dtype in dtypes:
            part.fused_attn &= part.proj.weight.dtype != torch.bfloat16
            if layer.available():
                part.qkv, part.proj = layer(part.qkv), layer(part.proj)
                found += 2
        elif isinstance(module, Mlp) and isinstance(part.fc1, nn.Linear) and part.fc1.weight.dtype in dtypes:
            if not layer.available():
                continue
            if type(part.act) is nn.GELU and part.act.approximate == "none":
                part.fc1, part.act = layer(part.fc1, "gelu"), nn.Identity()
                found += 1
            part.fc2 = layer(part.fc2)
            found += 1
    return found


def is_plain(attention: Attention) -> bool:
    """Whether it is attention in bfloat16 of which :class:`PackedAttention` leaves nothing out."""
    part: Any = attention
    return (
        part.proj.weight.dtype == torch.bfloat16
        and getattr(part, "gate", None) is None
        and isinstance(getattr(part, "norm", None), nn.Identity | None)
    )
