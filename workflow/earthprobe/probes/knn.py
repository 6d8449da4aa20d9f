"""The k nearest train patches vote, searched exactly and in bounded memory.

Two protocols of the field: neighbours by L2 that count alike (torchgeo-bench, k = 5), and by cosine with weights
exp(similarity / 0.07) (DINO, Galileo, OlmoEarth; k = 20). Unlike there, features are standardised.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

from earthprobe.probes.interface import Bools, Data, Fitted, Floats
from earthprobe.probes.search import Search
from earthprobe.progress import Progress

log = logging.getLogger(__name__)

K = {"l2": 5, "cosine": 20}


def fit(data: Data, *, threads: int, metric: str = "l2", k: int | None = None, temperature: float = 0.07) -> Fitted:
    """Keeps train, and scores val and test by it.

    Raises:
        ValueError: the metric is unknown.
    """
    torch.set_num_threads(threads)
    train = data.parts["train"]
    votes = Votes(train.features, train.targets, metric, min(k or K.get(metric, 1), len(train.ids)), temperature)
    progress = Progress(log, len(data.parts["val"].ids) + len(data.parts["test"].ids))
    scores = {split: votes.scores(data.parts[split].features, progress) for split in ("val", "test")}
    arrays = {
        "features": train.features,
        "targets": train.targets,
        "mean": data.mean,
        "std": data.std,
        "k": np.array(votes.k),
        "temperature": np.array(temperature),
        "cosine": np.array(metric == "cosine"),
    }

    def save(path: Path) -> None:
        # Written as bytes: save_file would put another file in this one's place.
        path.write_bytes(safetensors.numpy.save(arrays))

    return Fitted(scores, {"k": votes.k, "torch_version": torch.__version__}, save)


def read(model: Path) -> Callable[[Floats], Floats]:
    """Saved neighbours; see :mod:`earthprobe.probes.interface`."""
    stored = safetensors.numpy.load_file(model)
    metric = "cosine" if stored["cosine"] else "l2"
    votes = Votes(stored["features"], stored["targets"], metric, int(stored["k"]), float(stored["temperature"]))
    return lambda embeddings: votes.scores((embeddings - stored["mean"]) / stored["std"])


class Votes:
    """Train patches that vote on others."""

    def __init__(self, features: Floats, targets: Bools, metric: str, k: int, temperature: float) -> None:
        """Takes the train patches.

        Args:
            features: standardised embeddings, shape (patches, dimensions).
            targets: which classes a patch has, shape (patches, classes).
            metric: ``l2`` or ``cosine``.
            k: how many neighbours count.
            temperature: of the weights by cosine.

        Raises:
            ValueError: the metric is unknown.
        """
        self._search = Search(features, metric, k)
        self.k, self._temperature, self._cosine = k, temperature, metric == "cosine"
        self._targets = torch.from_numpy(targets).to(self._search.device)

    @torch.inference_mode()
    def scores(self, features: Floats, progress: Progress | None = None) -> Floats:
        """The weighted share of the neighbours that have each class, shape (patches, classes)."""
        results = []
        for near, rows in self._search.nearest(features):
            weights = torch.ones_like(near)
            if self._cosine:  # the largest is taken off, so that none overflows
                weights = ((near - near[:, :1]) / self._temperature).exp()
            weights /= weights.sum(1, keepdim=True)
            results.append((weights[:, :, None] * self._targets[rows]).sum(1).float().cpu())
            if progress:
                progress.add(len(near))
        shares: Floats = torch.cat(results).numpy()
        return shares
