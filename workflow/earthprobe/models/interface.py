"""What every frozen model is to the steps: a batch of patches in, a batch of vectors out.

A kind's module has ``build(weights, inputs, **options) -> Model``, whose keywords are the options of its YAML file that
are not those of every model (``bands``, ``weights``, ``normalization``, ``image_size``, ``precision``). Where there are
weights, it also has

- ``architecture(model, bands) -> nn.Module``, initialised from torch's global seed, whose state dict the weights must
  fit;
- ``published(model)``, its published weights (:class:`Published`) by their names;

and where its checkpoints ask for it

- ``MAY_LACK``, keys that a state dict need not have: they keep their initial values;
- ``fetch(model)``, a state dict, where a library's own loader knows where ``published`` weights are;
- ``tidy(state, model)``, a published state dict under the keys of the architecture;
- ``refuse(path, digest)``, which raises for files that must not be used.

A kind that sees no pixels (``pixels: false`` in its YAML file) has ``vectors(patches, **options)`` instead of
``build``, which returns :class:`earthprobe.models.vectors.Vectors`.

A kind whose weights come from the archive itself has ``fit(samples, inputs, **options)``, the tensors that it keeps;
its YAML file says in ``fitted`` for which values of which options.

The YAML file says ``unit``, which is what the model's pixels must be: ``z-score``, a unit
of pixels (:mod:`earthprobe.sensors`), or ``any``; ``needs``, what it must know of a patch beside its pixels (``date``,
``place``); and ``groups``, the bands that it takes together or not at all.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from earthprobe.sensors import BANDS, SIZE


class Published(NamedTuple):
    """Weights on the web.

    Attributes:
        url: where they are.
        sha256: their hash or how it begins; empty where nobody published one.
    """

    url: str
    sha256: str = ""


class Inputs(NamedTuple):
    """What a model will see.

    Attributes:
        bands: the names of the bands, in their order.
        mean: of each band over the train split, in the unit of its pixels.
        std: the same.
        image_size: pixels along a side; None as they are, or as the model wants them.
        normalization: ``zscore``, ``native`` or ``none``.
        align_corners: how patches are resized, as torch calls it.
        size: pixels along a side of a patch, in the archive's finest band.
        wavelengths: of each band, in micrometres, by the archive; None where there is none, as of radar; empty takes
            the sensor's own.
    """

    bands: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    image_size: int | None
    normalization: str = "zscore"
    align_corners: bool = False
    size: int = SIZE
    wavelengths: Sequence[float | None] = ()

    def wavelength_of(self, band: str) -> float | None:
        """The wavelength of a band, in micrometres; None where there is none."""
        if self.wavelengths:
            return self.wavelengths[list(self.bands).index(band)]
        return BANDS[band].wavelength


Floats = npt.NDArray[np.float32]

Samples = Callable[[int, int], Floats]
"""Gives patches of the train split by their number and a seed, shape (patches, bands, size, size), in their unit."""


class Normalization(NamedTuple):
    """How a model's pixels come from those of the archive: (pixel - shift) / scale, band by band.

    Attributes:
        shift: a figure a band, in the unit of its pixels.
        scale: the same.
        limits: what lies outside of them afterwards is set to the nearer one; None where nothing is.
    """

    shift: Sequence[float]
    scale: Sequence[float]
    limits: tuple[float, float] | None = None


class Batch(NamedTuple):
    """Patches on their way through a model.

    Attributes:
        pixels: float32, shape (patches, bands, height, width).
        dates: month (0 to 11) and day of the year (1 to 366), float32, shape (patches, 2); None where no model asks.
        places: longitude and latitude of the centre in degrees, float32, shape (patches, 2); the same.
    """

    pixels: Tensor
    dates: Tensor | None = None
    places: Tensor | None = None


class Model(nn.Module):
    """A frozen model for a fixed set of bands.

    Attributes:
        dimensions: the length of a vector.
        pooling: how a vector comes from the model's output, in words.
        settings: what a reader must know of it beside its options, for the features' metadata.
        image_size: pixels along a side that it wants where the configuration says none; None takes patches as they are.
        native: the normalisation of the model's own publication, for these bands; None where there is none.
    """

    dimensions: int
    pooling: str
    settings: Mapping[str, Any]
    image_size: int | None = None
    native: Normalization | None = None

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

    def __init__(
        self, normalization: Normalization | None, image_size: int | None, align_corners: bool = False
    ) -> None:
        """Takes the figures of the bands.

        Args:
            normalization: None for pixels in their own unit.
            image_size: pixels along a side; None as they are.
            align_corners: whether the outermost pixels stay the outermost ones, as torch calls it.
        """
        super().__init__()
        self.normalization, self.image_size, self.align_corners = normalization, image_size, align_corners
        shift, scale, self._limits = normalization or Normalization([], [])
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(shift, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(scale, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, pixels: Tensor, dates: Tensor | None = None, places: Tensor | None = None) -> Batch:
        """Returns the patches as a model takes them."""
        if self.normalization is not None:
            pixels = (pixels - self.mean) / self.std
        if self._limits is not None:
            pixels = pixels.clamp(*self._limits)
        size = self.image_size
        if size is not None and size != pixels.shape[-1]:
            pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=self.align_corners)
        return Batch(pixels, dates, places)


class Encoder(nn.Module):
    """A model behind what prepares its pixels."""

    def __init__(self, prepare: Prepare, model: Model) -> None:
        super().__init__()
        self.prepare, self.model = prepare, model

    def forward(self, pixels: Tensor, dates: Tensor | None = None, places: Tensor | None = None) -> Tensor:
        """Vectors of patches as the archive has them, shape (patches, dimensions)."""
        vectors: Tensor = self.model(self.prepare(pixels, dates, places))
        return vectors
