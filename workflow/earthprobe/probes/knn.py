"""The k nearest train patches vote, searched exactly and in bounded memory.

Two protocols of the field: neighbours by L2 that count alike (torchgeo-bench, k = 5), and by cosine with weights
exp(similarity / 0.07) (DINO, Galileo, OlmoEarth; k = 20). Unlike there, features are standardised.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import torch
from torch import Tensor

from earthprobe.probes.interface import Data, Fitted, Floats
from earthprobe.progress import Progress

log = logging.getLogger(__name__)

K = {"l2": 5, "cosine": 20}
QUERIES, BLOCK = 512, 2**15
"""Patches that are compared at the same time: a table of 64 MiB."""

CANDIDATES = 2**13
"""Neighbours that are compared in double precision at the same time: 48 MiB of 768 dimensions."""

SPARE = 8
"""Further neighbours that are compared once more in double precision, since a matrix product rounds."""

ROUNDING = 2**-20
"""The error of a matrix product of float32, as a share of the lengths of the two vectors multiplied."""


def fit(data: Data, *, threads: int, metric: str = "l2", k: int | None = None, temperature: float = 0.07) -> Fitted:
    """Keeps train, and scores val and test by it.

    Raises:
        ValueError: the metric is unknown.
    """
    torch.set_num_threads(threads)
    train = data.parts["train"]
    search = Search(train.features, train.targets, metric, min(k or K.get(metric, 1), len(train.ids)), temperature)
    progress = Progress(log, len(data.parts["val"].ids) + len(data.parts["test"].ids))
    scores = {split: search.scores(data.parts[split].features, progress) for split in ("val", "test")}
    arrays = {
        "features": train.features,
        "targets": train.targets,
        "mean": data.mean,
        "std": data.std,
        "k": np.array(search.k),
        "temperature": np.array(temperature),
        "cosine": np.array(metric == "cosine"),
    }

    def save(path: Path) -> None:
        # Written as bytes: save_file would put another file in this one's place.
        path.write_bytes(safetensors.numpy.save(arrays))

    return Fitted(scores, {"k": search.k, "torch_version": torch.__version__}, save)


def read(model: Path) -> Callable[[Floats], Floats]:
    """Saved neighbours; see :mod:`earthprobe.probes.interface`."""
    stored = safetensors.numpy.load_file(model)
    metric = "cosine" if stored["cosine"] else "l2"
    search = Search(stored["features"], stored["targets"], metric, int(stored["k"]), float(stored["temperature"]))
    return lambda embeddings: search.scores((embeddings - stored["mean"]) / stored["std"])


class Search:
    """Train patches to compare others with."""

    def __init__(
        self, features: Floats, targets: npt.NDArray[np.bool_], metric: str, k: int, temperature: float
    ) -> None:
        """Moves the train patches to where they are compared: a GPU if there is one.

        Args:
            features: standardised embeddings, shape (patches, dimensions).
            targets: which classes a patch has, shape (patches, classes).
            metric: ``l2`` or ``cosine``.
            k: how many neighbours count.
            temperature: of the weights by cosine.

        Raises:
            ValueError: the metric is unknown.
        """
        if metric not in K:
            raise ValueError(f"{metric!r} is not a metric: expected {' or '.join(K)}")
        self.k, self._temperature, self._cosine = k, temperature, metric == "cosine"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._features = torch.from_numpy(features).to(self._device)
        self._targets = torch.from_numpy(targets).to(self._device)
        self._norms = torch.cat([block.square().sum(1) for block in self._features.split(BLOCK)])  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def scores(self, features: Floats, progress: Progress | None = None) -> Floats:
        """The weighted share of the neighbours that have each class, shape (patches, classes)."""
        results = []
        at_once = max(1, min(QUERIES, CANDIDATES // (self.k + SPARE)))
        for queries in torch.from_numpy(features).split(at_once):  # type: ignore[no-untyped-call]
            near, rows = self._nearest(queries.to(self._device))
            weights = torch.ones_like(near)
            if self._cosine:  # the largest is taken off, so that none overflows
                weights = ((near - near[:, :1]) / self._temperature).exp()
            weights /= weights.sum(1, keepdim=True)
            results.append((weights[:, :, None] * self._targets[rows]).sum(1).float().cpu())
            if progress:
                progress.add(len(queries))
        shares: Floats = torch.cat(results).numpy()
        return shares

    def _nearest(self, queries: Tensor, spare: int = SPARE) -> tuple[Tensor, Tensor]:
        """How near the k nearest are (the nearest first; greater is nearer), and their rows.

        Of patches that are equally near the first in train counts. Where more are as near as the last that counts than
        were compared in double precision, further ones are compared, too.
        """
        wanted = min(self.k + spare, len(self._features))
        rough = torch.empty((len(queries), 0), device=self._device)
        rows = torch.empty((len(queries), 0), dtype=torch.long, device=self._device)
        for start in range(0, len(self._features), BLOCK):
            here = self._roughly(queries, slice(start, start + BLOCK))
            found, row = here.topk(min(wanted, here.shape[1]))
            rough, rows = torch.cat([rough, found], dim=1), torch.cat([rows, row + start], dim=1)
            if rough.shape[1] > wanted:
                rough, kept = rough.topk(wanted)
                rows = rows.gather(1, kept)
        rows = rows.sort(1).values
        exact = self._exactly(queries.double(), self._features[rows].double())
        order = exact.sort(dim=1, descending=True, stable=True)
        near, rows = order.values[:, : self.k], rows.gather(1, order.indices[:, : self.k])
        if wanted < len(self._features):
            ranked = rough.sort(dim=1, descending=True).values
            unsure = (ranked[:, self.k - 1] - ranked[:, -1] <= 2 * self._error(queries)).nonzero()[:, 0]
            # Fewer at a time, since each is compared with more.
            for some in torch.split(unsure, max(1, CANDIDATES // (self.k + 4 * spare))):
                near[some], rows[some] = self._nearest(queries[some], 4 * spare)
        return near, rows

    def _error(self, queries: Tensor) -> Tensor:
        """How far :meth:`_roughly` may be off, for each query."""
        length = queries.square().sum(1)
        return ROUNDING * (length.sqrt() if self._cosine else length + self._norms.max())

    def _roughly(self, queries: Tensor, block: slice) -> Tensor:
        products = queries @ self._features[block].T
        if self._cosine:
            return products.mul_(self._norms[block].clamp(min=1e-24).rsqrt())  # the query's own length orders nothing
        return products.mul_(2).sub_(self._norms[block])

    def _exactly(self, queries: Tensor, candidates: Tensor) -> Tensor:
        if self._cosine:
            return torch.cosine_similarity(queries[:, None], candidates, dim=2)
        return -(candidates - queries[:, None]).square().sum(2)
