"""From the output of a model of timm to a vector: which layer, and what is made of its tokens or its map."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from earthprobe.errors import UserError

Pooling = Literal["default", "mean", "max", "cls"]

WORDS = {
    "default": "as the model's own head has it",
    "mean": "mean over the cells of the image",
    "max": "maximum over the cells of the image",
    "cls": "class token",
}


def in_words(pooling: Pooling, layer: int | None) -> str:
    """How a vector comes about, for the features' metadata."""
    return WORDS[pooling] + (f", of block {layer}" if layer is not None else "")


def check(model: nn.Module, pooling: Pooling, layer: int | None) -> None:
    """Sees that a model has what is asked of it.

    Raises:
        UserError: it has no class token, or not as many blocks.
    """
    if pooling == "cls" and not getattr(model, "num_prefix_tokens", 0):
        raise UserError("pooling: this model has no class token: use default, mean or max")
    blocks = getattr(model, "blocks", None)
    if layer is None:
        return
    if blocks is None or not hasattr(model, "forward_intermediates") or not hasattr(model, "num_prefix_tokens"):
        raise UserError("layer: the blocks of this model have no numbers: leave it out")
    if not 0 <= layer < len(blocks):
        raise UserError(f"layer: this model has the blocks 0 to {len(blocks) - 1}, not {layer}")


def pooled(model: Any, x: Tensor, pooling: Pooling, layer: int | None) -> Tensor:
    """Runs a model of timm and pools its output.

    Args:
        model: it, without a classifier.
        x: pixels, shape (patches, channels, height, width).
        pooling: ``default`` is the model's own; else over tokens without prefix, or over the map of a convolution.
        layer: take the output of this block instead of the last, without the last norm.

    Returns:
        Vectors, shape (patches, dimensions).
    """
    if layer is not None:
        _, tokens = _block(model, x, layer)
        return over_tokens(tokens, model.num_prefix_tokens, "mean" if pooling == "default" else pooling)
    features: Tensor = model.forward_features(x)
    if pooling == "default":
        vectors: Tensor = model.forward_head(features, pre_logits=True)
        return vectors
    if features.ndim == 4:  # a map; timm says where its channels are
        over = (1, 2) if getattr(model, "output_fmt", "NCHW") == "NHWC" else (2, 3)
        return features.amax(over) if pooling == "max" else features.mean(over)
    return over_tokens(features, getattr(model, "num_prefix_tokens", 0), pooling)


def _block(model: Any, x: Tensor, layer: int) -> tuple[Tensor | None, Tensor]:
    given = {"indices": [layer], "output_fmt": "NLC", "intermediates_only": True}
    if not model.num_prefix_tokens:
        (tokens,) = model.forward_intermediates(x, **given)
        return None, tokens
    ((tokens, prefix),) = model.forward_intermediates(x, **given, return_prefix_tokens=True)
    return prefix, torch.cat([prefix, tokens], dim=1)


def over_tokens(tokens: Tensor, prefix: int, pooling: Pooling) -> Tensor:
    """Pools tokens.

    Args:
        tokens: shape (patches, tokens, dimensions), the class token first.
        prefix: how many of them belong to no cell of the image.
        pooling: ``mean``, ``max`` or ``cls``.
    """
    if pooling == "cls":
        return tokens[:, 0]
    cells = tokens[:, prefix:]
    return cells.amax(1) if pooling == "max" else cells.mean(1)
