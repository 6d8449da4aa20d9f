"""A ViT whose patch embedding was generated once for its bands, as DOFA and Copernicus-FM generate theirs."""

from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from earthprobe.errors import UserError
from earthprobe.models.interface import Batch, Model
from earthprobe.models.pooling import Pooling, in_words, over_tokens


def cells_of(image_size: int, side: int) -> int:
    """Tokens along a side of an image: the patch embedding is padded by a pixel."""
    return (image_size + 2 - side) // side + 1


class BakedVit(Model):
    """A plain ViT: what the model computes of the bands alone is computed once, and the vectors stay the same."""

    def __init__(
        self,
        kernel: Tensor,
        bias: Tensor,
        position: Tensor,
        class_token: Tensor,
        blocks: Any,
        norm: nn.Module,
        pooling: Pooling = "default",
        layer: int | None = None,
    ) -> None:
        """Takes the parts.

        Args:
            kernel: of the patch embedding, shape (width, bands, side, side).
            bias: of the patch embedding, shape (width).
            position: added to the tokens, the class token's first, shape (1, 1 + cells, width).
            class_token: shape (1, 1, width).
            blocks: the transformer.
            norm: the last LayerNorm.
            pooling: how a vector comes from the tokens; ``default`` is their mean without the class token's.
            layer: the block whose output is taken, without the last norm; None takes the last.

        Raises:
            UserError: there is no such block.
        """
        super().__init__()
        if layer is not None and not 0 <= layer < len(blocks):
            raise UserError(f"layer: this model has the blocks 0 to {len(blocks) - 1}, not {layer}")
        self._pooling: Pooling = "mean" if pooling == "default" else pooling
        self.pooling = (
            "mean of the patch tokens (class token left out), then LayerNorm (fc_norm)"
            if pooling == "default" and layer is None
            else in_words(self._pooling, layer) + ("" if layer is not None else ", then LayerNorm (fc_norm)")
        )
        self.kernel: Tensor
        self.bias: Tensor
        self.position: Tensor
        self.class_token: Tensor
        self.register_buffer("kernel", kernel.detach().contiguous())
        self.register_buffer("bias", bias.detach())
        self.register_buffer("position", position[:, 1:].detach())
        self.register_buffer("class_token", (class_token + position[:, :1]).detach())
        self.blocks = blocks if layer is None else blocks[: layer + 1]
        self.norm = norm if layer is None else nn.Identity()
        self.dimensions = self.kernel.shape[0]
        self.eval().requires_grad_(False)

    def place(self, device: str, dtype: torch.dtype) -> Self:
        """Moves the model; the transformer computes in ``dtype``, pooling in float32."""
        for name in ("kernel", "bias", "position", "class_token"):
            setattr(self, name, getattr(self, name).to(dtype))
        self.blocks.to(dtype)
        return self.to(device)

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches; see :class:`earthprobe.models.interface.Model`."""
        return self.embedded(self.tokens(batch.pixels, self.kernel, self.bias))

    def tokens(self, pixels: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """The patch embedding, shape (patches, cells, width)."""
        x = F.conv2d(pixels.to(kernel.dtype), kernel, bias, stride=kernel.shape[-1], padding=1)
        return x.flatten(2).transpose(1, 2)

    def embedded(self, tokens: Tensor) -> Tensor:
        """The vectors of tokens, shape (patches, width)."""
        x = tokens + self.position
        x = torch.cat((self.class_token.expand(len(x), -1, -1), x), dim=1)
        for block in self.blocks:
            x = block(x)
        pooled: Tensor = self.norm(over_tokens(x.float(), 1, self._pooling))
        return pooled
