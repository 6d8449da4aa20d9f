"""Random convolutional features (MOSAIKS, Rolf et al. 2021), as torchgeo's RCF has them: what texture alone tells."""

from pathlib import Path
from typing import Literal

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from earthprobe.models.interface import Batch, Inputs, Model, Samples

SIDE = 3
"""Pixels along a side of a filter."""

BIAS = -1.0
"""Added to a filter's answer before its sign is looked at, as in torchgeo."""

ROWS = 8
"""Rows of a patch whose answers are computed at a time on a CPU, so that they stay in its caches."""

SMALLEST = 1e-8
"""The norm below which a cut-out is not divided by it."""

EIGENVALUE = 0.001
"""Added to the eigenvalues of the covariance, so that whitening does not blow up noise."""


def generator_of(seed: int) -> torch.Generator:
    """Torchgeo's generator: it takes 0 for none given, and then torch's own initial seed."""
    generator = torch.Generator()
    return generator.manual_seed(seed) if seed else generator


def fit(
    samples: Samples,
    inputs: Inputs,
    *,
    filters: Literal["gaussian", "empirical"] = "empirical",
    features: int = 512,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Filters cut out of patches of the train split, whitened.

    Args:
        samples: gives patches of the train split, drawn by a seed.
        inputs: what the model will see.
        filters: ``empirical``.
        features: twice the number of filters.
        seed: which patches, and where in them.

    Returns:
        ``filters``, shape (features / 2, bands, 3, 3).
    """
    patches = samples(features // 2, seed)
    mean, std = (np.array(figures, dtype=np.float32)[:, None, None] for figures in (inputs.mean, inputs.std))
    if inputs.normalization == "zscore":
        patches = (patches - mean) / std
    rng = np.random.default_rng(seed)
    height, width = patches.shape[2:]
    tops, lefts = rng.integers(0, height - SIDE + 1, len(patches)), rng.integers(0, width - SIDE + 1, len(patches))
    cuts = np.stack(
        [p[:, top : top + SIDE, left : left + SIDE] for p, top, left in zip(patches, tops, lefts, strict=True)]
    )
    return {"filters": torch.from_numpy(whitened(cuts))}


def whitened(cuts: np.ndarray) -> np.ndarray:
    """Cut-outs with mean 0 and norm 1, decorrelated twice over (ZCA), as MOSAIKS makes its filters.

    Args:
        cuts: shape (filters, bands, 3, 3).

    Returns:
        float32, the same shape.
    """
    flat = cuts.reshape(len(cuts), -1).astype(np.float64)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = flat / np.where(norms < SMALLEST, 1, norms)
    values, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    zca = (vectors / np.sqrt(values + EIGENVALUE)) @ vectors.T
    result: np.ndarray = (flat @ zca @ zca.T).reshape(cuts.shape).astype(np.float32)
    return result


def build(
    weights: Path | None,
    inputs: Inputs,
    *,
    filters: Literal["gaussian", "empirical"] = "gaussian",
    features: int = 512,
    seed: int = 0,
) -> "Rcf":
    """Random convolutional features of these bands.

    Args:
        weights: of empirical filters, what :func:`fit` found.
        inputs: what it will see.
        filters: how the filters come about.
        features: the length of a vector.
        seed: of the filters.
    """
    if weights is None:
        shape = (features // 2, len(inputs.bands), SIDE, SIDE)
        kernel = torch.randn(shape, generator=generator_of(seed))
    else:
        kernel = safetensors.torch.load_file(weights)["filters"]
    return Rcf(kernel, {"filters": filters, "seed": seed})


class Rcf(Model):
    """The mean answer of each filter where it is positive, then the mean where it is negative."""

    pooling = "mean over the patch of the answers above 0, and of those below"

    def __init__(self, kernel: Tensor, settings: dict[str, object]) -> None:
        """Takes the filters.

        Args:
            kernel: shape (filters, bands, 3, 3).
            settings: where they come from.
        """
        super().__init__()
        self.settings = settings
        self.kernel: Tensor
        self.register_buffer("kernel", kernel)
        self.dimensions = 2 * len(kernel)

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches; see :class:`earthprobe.models.interface.Model`."""
        pixels = batch.pixels
        return self._means(pixels, len(pixels), pixels.shape[2]) if pixels.is_cuda else self._means(pixels, 1, ROWS)

    def _means(self, pixels: Tensor, at_once: int, rows: int) -> Tensor:
        """The vectors, of some patches and some of their rows at a time."""
        height, width = (side - SIDE + 1 for side in pixels.shape[2:])
        found = []
        for patches in pixels.split(at_once):  # type: ignore[no-untyped-call]
            strips = [patches[:, :, top : top + rows + SIDE - 1] for top in range(0, height, rows)]
            plain, sizes = torch.stack([self._sums(strip) for strip in strips]).sum(dim=0) / (height * width)
            # Of answers that are all on one side, the other is 0 and not nearly so: both sums round alike.
            found.append(torch.cat([sizes + plain, sizes - plain], dim=1).clamp_min_(0) / 2)
        return torch.cat(found)

    def _sums(self, pixels: Tensor) -> Tensor:
        """The answers of each patch and filter added up, and their sizes without the sign."""
        answers = F.conv2d(pixels, self.kernel, self.kernel.new_full((len(self.kernel),), BIAS))
        return torch.stack([answers.sum(dim=(2, 3)), answers.abs_().sum(dim=(2, 3))])
