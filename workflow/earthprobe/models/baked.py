"""A ViT whose patch embedding was generated once for its bands, as DOFA and Copernicus-FM generate theirs."""

from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from earthprobe.models.interface import Batch, Model


class BakedVit(Model):
    """A plain ViT: what the model computes of the bands alone is computed once, and the vectors stay the same."""

    pooling = "mean of the patch tokens (class token left out), then LayerNorm (fc_norm)"

    def __init__(
        self, kernel: Tensor, bias: Tensor, position: Tensor, class_token: Tensor, blocks: Any, norm: nn.Module
    ) -> None:
        """Takes the parts.

        Args:
            kernel: of the patch embedding, shape (width, bands, side, side).
            bias: of the patch embedding, shape (width).
            position: added to the tokens, the class token's first, shape (1, 1 + cells, width).
            class_token: shape (1, 1, width).
            blocks: the transformer.
            norm: the last LayerNorm.
        """
        super().__init__()
        self.kernel: Tensor
        self.bias: Tensor
        self.position: Tensor
        self.class_token: Tensor
        self.register_buffer("kernel", kernel.detach().contiguous())
        self.register_buffer("bias", bias.detach())
        self.register_buffer("position", position[:, 1:].detach())
        self.register_buffer("class_token", (class_token + position[:, :1]).detach())
        self.blocks = blocks
        self.norm = norm
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
        x = batch.pixels.to(self.kernel.dtype)
        x = F.conv2d(x, self.kernel, self.bias, stride=self.kernel.shape[-1], padding=1)
        x = x.flatten(2).transpose(1, 2) + self.position
        x = torch.cat((self.class_token.expand(len(x), -1, -1), x), dim=1)
        for block in self.blocks:
            x = block(x)
        pooled: Tensor = self.norm(x[:, 1:].float().mean(dim=1))
        return pooled
