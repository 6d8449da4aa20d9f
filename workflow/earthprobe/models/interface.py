"""What every frozen model is to the steps: a batch of patches in, a batch of vectors out.

A kind's module has ``build(weights, inputs, **options) -> Model``, whose keywords are the options of its YAML file that
are not those of every model (``bands``, ``weights``, ``normalization``, ``image_size``, ``precision``). Where there are
weights, it also has

- ``architecture(model) -> nn.Module``, initialised from torch's global seed, whose state dict the weights must fit;
- ``MAY_LACK``, keys that a state dict need not have: they keep their initial values;
- ``published(model)``, the URLs of its published weights by their names, as the YAML file lists them in ``weights``;
- ``refuse(path, digest)``, which raises for files that must not be used.

The YAML file says ``unit``, which is what the model's pixels must be: ``z-score``, a unit of
:data:`earthprobe.sensors.UNITS`, or ``any``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Inputs(NamedTuple):
    """What a model will see.

    Attributes:
        bands: the names of the bands, in their order.
        mean: of each band over the train split, in the unit of its pixels.
        std: the same.
        image_size: pixels along a side; None as they are.
    """

    bands: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    image_size: int | None


class Batch(NamedTuple):
    """Patches on their way through a model.

    Attributes:
        pixels: float32, shape (patches, bands, height, width).
    """

    pixels: Tensor


class Model(nn.Module):
    """A frozen model for a fixed set of bands.

    Attributes:
        dimensions: the length of a vector.
        pooling: how a vector comes from the model's output, in words.
        settings: what a reader must know of it beside its options, for the features' metadata.
    """

    dimensions: int
    pooling: str
    settings: Mapping[str, Any]

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches.

        Returns:
            Vectors, float32, shape (patches, dimensions).
        """
        raise NotImplementedError

    def place(self, device: str, dtype: torch.dtype) -> Self:
        """Moves the model to where it runs, in the arithmetic that it runs in."""
        return self.to(device, dtype)


class Prepare(nn.Module):
    """Normalises and resizes pixels, the same for all models."""

    def __init__(self, inputs: Inputs, normalization: str | None) -> None:
        """Takes the figures of the bands.

        Args:
            inputs: what the model will see.
            normalization: ``zscore``, or None for pixels in their own unit.
        """
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(inputs.mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(inputs.std, dtype=torch.float32).view(-1, 1, 1))
        self._normalises = normalization == "zscore"
        self._size = inputs.image_size

    def forward(self, pixels: Tensor) -> Batch:
        """Returns the patches as a model takes them."""
        if self._normalises:
            pixels = (pixels - self.mean) / self.std
        if self._size is not None:
            pixels = F.interpolate(pixels, size=(self._size, self._size), mode="bilinear", align_corners=False)
        return Batch(pixels)
