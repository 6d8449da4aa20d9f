"""What the pixels alone tell: plain statistics of each band, the control beside which every model stands."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from earthprobe.models.interface import Batch, Inputs, Model


def build(weights: Path | None, inputs: Inputs, *, percentiles: Sequence[float] = (5, 25, 50, 75, 95)) -> "Statistics":
    """Statistics of these bands.

    Args:
        weights: there are none.
        inputs: what is seen; the figures of the train split are not used.
        percentiles: which percentiles of a band's pixels.
    """
    return Statistics(len(inputs.bands), percentiles)


class Statistics(Model):
    """Mean, deviation, minimum, maximum and percentiles of each band, in the unit of its pixels.

    A vector holds all figures of the first band, then those of the next. The deviation is that of the population, and
    a percentile lies on the line between its two nearest pixels, as numpy has both.
    """

    pooling = "over all pixels of a band"

    def __init__(self, bands: int, percentiles: Sequence[float]) -> None:
        """Notes what to compute.

        Args:
            bands: how many there are.
            percentiles: from 0 to 100.
        """
        super().__init__()
        self.settings = {"percentiles": list(percentiles)}
        self.dimensions = bands * (4 + len(percentiles))
        self._quantiles = [percentile / 100 for percentile in percentiles]

    def forward(self, batch: Batch) -> Tensor:
        """Computes the figures; see :class:`earthprobe.models.interface.Model`."""
        ordered = _sorted(batch.pixels.flatten(2))
        # In float64, so that a batch's size does not move the last digit; in place, since fresh memory takes longer.
        exact = ordered.double()
        mean = exact.mean(dim=2)
        deviation = exact.sub_(mean[:, :, None]).square_().mean(dim=2).sqrt()
        figures = [mean, deviation, ordered[:, :, 0], ordered[:, :, -1]]
        for quantile in self._quantiles:
            place = quantile * (ordered.shape[2] - 1)
            low = int(place)
            high = min(low + 1, ordered.shape[2] - 1)
            below, above = ordered[:, :, low].double(), ordered[:, :, high].double()
            figures.append(below + (above - below) * (place - low))
        return torch.stack([figure.float() for figure in figures], dim=2).flatten(1)


def _sorted(pixels: Tensor) -> Tensor:
    """Each band's pixels by their size; on a CPU by numpy, which takes less than half of torch's time."""
    if not pixels.is_cpu:
        return pixels.sort(dim=2).values
    ordered = pixels.numpy().copy()
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(lambda patch: patch.sort(axis=1), ordered))
    return torch.from_numpy(ordered)
