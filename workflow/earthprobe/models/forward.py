"""A frozen model's forward pass over batches, so that neither the model nor a GPU waits for the disk."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from earthprobe.errors import UserError

log = logging.getLogger(__name__)

BATCH = {"cpu": 8, "cuda": 256}
"""Patches a forward pass: on CPU larger ones leave the caches, on GPU smaller ones leave units idle."""

READ_AHEAD = 2  # batches
NO_ROOM = "the GPU has too little free memory for one patch: is another job on it? (or --device cpu)"


Tensors = tuple[Tensor, ...]
"""What a model sees of a batch: its pixels, then dates and places where it asks for them."""


def pinned(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Memory for a batch from which a GPU fetches by itself; torch gives out again what is no longer used."""
    array: npt.NDArray[np.float32] = torch.empty(shape, pin_memory=True).numpy()
    return array


def read_ahead(
    batches: Iterator[tuple[list[str], tuple[npt.NDArray[np.float32], ...]]], pin: bool
) -> Generator[tuple[list[str], Tensors]]:
    """Reads the next batches in a thread while the model works on the last one.

    Args:
        batches: ids, and what the model sees.
        pin: put it where a GPU can fetch it by itself.

    Yields:
        The same batches, as tensors.
    """

    def read() -> tuple[list[str], Tensors] | None:
        batch = next(batches, None)
        if batch is None:
            return None
        seen = (torch.from_numpy(array) for array in batch[1])
        return batch[0], tuple(tensor.pin_memory() if pin else tensor for tensor in seen)

    with ThreadPoolExecutor(1) as pool:
        jobs = deque(pool.submit(read) for _ in range(READ_AHEAD))
        while (batch := jobs.popleft().result()) is not None:
            jobs.append(pool.submit(read))
            yield batch


class Forward:
    """A model's forward pass over batches that fit the device.

    On a GPU a full batch is a recorded graph of kernels, which starts without waiting for Python, and a result is
    fetched while the next batch is computed. torch.compile would take longer than a shard does.

    Attributes:
        size: the most patches in one pass; halved each time they do not fit in the device's memory.
    """

    def __init__(self, encoder: Callable[..., Tensor], device: str) -> None:
        self.size = BATCH[device]
        self._encoder, self._device = encoder, device
        self._graph: _Graph | None = None
        self._use_graph = device == "cuda"

    def over(self, batches: Iterable[tuple[list[str], Tensors]]) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        """Yields the ids and the vectors of each batch, one batch late, so that a GPU always has work."""
        before: tuple[list[str], _Fetched, Tensors] | None = None  # with what a GPU may still be fetching
        for ids, seen in batches:
            with torch.inference_mode():
                fetched = _Fetched(self(*seen))
            if before is not None:
                yield before[0], before[1].wait()
            before = ids, fetched, seen
        if before is not None:
            yield before[0], before[1].wait()

    def __call__(self, *seen: Tensor) -> Tensor:
        """Embeds a batch of any size.

        Raises:
            UserError: a single patch does not fit in the GPU's memory.
        """
        while True:
            try:
                pieces = zip(*(tensor.split(self.size) for tensor in seen), strict=True)  # type: ignore[no-untyped-call]
                moved = ((tensor.to(self._device, non_blocking=True) for tensor in piece) for piece in pieces)
                return torch.cat([self._pass(*piece) for piece in moved])
            except torch.OutOfMemoryError as error:
                if self.size == 1:
                    raise UserError(NO_ROOM) from error
            self._graph = None
            self.size //= 2
            torch.cuda.empty_cache()
            log.warning("the GPU's memory is too small: from here on %d patches a pass", self.size)

    def _pass(self, *seen: Tensor) -> Tensor:
        if self._use_graph and self._graph is None and len(seen[0]) == self.size:
            try:
                self._graph = _Graph(self._encoder, seen)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                log.warning("the forward pass cannot be recorded as a CUDA graph and runs without one: %s", error)
                self._use_graph = False
        if self._graph is None or len(seen[0]) < self.size:
            return self._encoder(*seen)
        return self._graph(*seen)


class _Graph:
    """A forward pass on a GPU, recorded once for one shape and replayed."""

    def __init__(self, encoder: Callable[..., Tensor], seen: Tensors) -> None:
        self._inputs = [tensor.clone() for tensor in seen]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries set themselves up in the first passes, which cannot be recorded
            for _ in range(3):
                encoder(*self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        # The reader's thread takes pinned memory meanwhile, which a recording of all threads would not survive.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._output = encoder(*self._inputs)

    def __call__(self, *seen: Tensor) -> Tensor:
        for held, tensor in zip(self._inputs, seen, strict=True):
            held.copy_(tensor)
        self._graph.replay()
        return self._output.clone()


class _Fetched:
    """A result on its way to the CPU; asking for it waits for it alone and not for what was begun later."""

    def __init__(self, vectors: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._vectors = vectors
        if vectors.is_cuda:
            self._vectors = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
            self._vectors.copy_(vectors, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def wait(self) -> npt.NDArray[np.float32]:
        if self._event is not None:
            self._event.synchronize()
        result: npt.NDArray[np.float32] = self._vectors.numpy()
        return result
