"""The nearest of some patches to others, searched exactly and in bounded memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

from earthprobe.probes.interface import Floats

METRICS = ("l2", "cosine")

QUERIES, BLOCK = 512, 2**15
"""Patches that are compared at the same time: a table of 64 MiB."""

CANDIDATES = 2**11
"""Neighbours that are compared in double precision at the same time: 12 MiB of 768 dimensions, so little that the
system does not ask for the room to be given back each time."""

SPARE = 8
"""Further neighbours that are compared once more in double precision, since a matrix product rounds."""

ROUNDING = 2**-20
"""The error of a matrix product of float32, as a share of the lengths of the two vectors multiplied."""


EPSILON = 1e-8
"""The least length of a vector that has a direction, as torch has it."""


class Search:
    """Patches to compare others with."""

    def __init__(self, features: Floats, metric: str, k: int) -> None:
        """Moves the patches to where they are compared: a GPU if there is one.

        Args:
            features: standardised embeddings, shape (patches, dimensions).
            metric: ``l2`` or ``cosine``.
            k: how many neighbours are wanted, at most all patches.

        Raises:
            ValueError: the metric is unknown.
        """
        if metric not in METRICS:
            raise ValueError(f"{metric!r} is not a metric: expected {' or '.join(METRICS)}")
        self.k, self._cosine = k, metric == "cosine"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._features = torch.from_numpy(features).to(self.device)
        self._norms = torch.cat([block.square().sum(1) for block in self._features.split(BLOCK)])  # type: ignore[no-untyped-call]

    def nearest(self, features: Floats) -> Iterator[tuple[Tensor, Tensor]]:
        """The nearest patches to others, some of the others at a time.

        Of patches that are equally near the first counts. Where more are as near as the last that counts than were
        compared in double precision, further ones are compared, too.

        Args:
            features: standardised embeddings, shape (queries, dimensions).

        Yields:
            How near they are (the nearest first; greater is nearer: the cosine, or the squared distance below 0), and
            their rows, both of shape (some queries, k).
        """
        for queries in torch.from_numpy(features).split(QUERIES):  # type: ignore[no-untyped-call]
            with torch.inference_mode():
                found = self._nearest(queries.to(self.device))
            yield found

    def _nearest(self, queries: Tensor, spare: int = SPARE) -> tuple[Tensor, Tensor]:
        wanted = min(self.k + spare, len(self._features))
        rough, rows = self._candidates(queries, wanted)
        rows = rows.sort(1).values
        at_once = max(1, CANDIDATES // wanted)
        parts = zip(queries.double().split(at_once), rows.split(at_once), strict=True)  # type: ignore[no-untyped-call]
        exact = torch.cat([self._exactly(some, self._features[near].double()) for some, near in parts])
        order = exact.sort(dim=1, descending=True, stable=True)
        near, rows = order.values[:, : self.k], rows.gather(1, order.indices[:, : self.k])
        if wanted < len(self._features):
            ranked = rough.sort(dim=1, descending=True).values
            unsure = (ranked[:, self.k - 1] - ranked[:, -1] <= 2 * self._error(queries)).nonzero()[:, 0]
            # Fewer at a time, since each is compared with more.
            for some in torch.split(unsure, max(1, CANDIDATES // (self.k + 4 * spare))):
                near[some], rows[some] = self._nearest(queries[some], 4 * spare)
        return near, rows

    def _candidates(self, queries: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
        """The nearest as a product in float32 has them, in any order, and how near they are."""
        rough = torch.empty((len(queries), 0), device=self.device)
        rows = torch.empty((len(queries), 0), dtype=torch.long, device=self.device)
        for start in range(0, len(self._features), BLOCK):
            here = self._roughly(queries, slice(start, start + BLOCK))
            found, row = here.topk(min(wanted, here.shape[1]))
            rough, rows = torch.cat([rough, found], dim=1), torch.cat([rows, row + start], dim=1)
            if rough.shape[1] > wanted:
                rough, kept = rough.topk(wanted)
                rows = rows.gather(1, kept)
        return rough, rows

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
        """The figures of :func:`torch.cosine_similarity`, bit by bit, or squared distances; in the candidates' room."""
        if self._cosine:
            queries = queries / queries.norm(dim=1, keepdim=True).clamp(min=EPSILON)
            candidates.div_(candidates.norm(dim=2, keepdim=True).clamp(min=EPSILON))
            return candidates.mul_(queries[:, None]).sum(2)
        return -candidates.sub_(queries[:, None]).square_().sum(2)
