import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from earthprobe.errors import UserError
from earthprobe.models.forward import Forward, read_ahead


class Doubling:
    """Stands in for a model on a device that holds at most ``room`` patches."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.passes: list[int] = []

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.passes.append(len(pixels))
        return pixels.flatten(1) * 2


def batches(*sizes: int) -> Iterator[tuple[list[str], tuple[np.ndarray]]]:
    start = 0
    for size in sizes:
        rows = np.arange(start, start + size, dtype=np.float32)
        yield [f"p{row:g}" for row in rows], (rows.reshape(-1, 1, 1, 1),)
        start += size


def run(forward: Forward, *sizes: int) -> dict[str, float]:
    return {
        patch_id: float(vector[0])
        for ids, vectors in forward.over(read_ahead(batches(*sizes), pin=False))
        for patch_id, vector in zip(ids, vectors, strict=True)
    }


@pytest.mark.parametrize("room", [1, 2, 3, 5, 8])
def test_batches_halve_until_they_fit_and_stay_so(room: int):
    model = Doubling(room)
    forward = Forward(model, "cpu")
    assert run(forward, 8, 8, 5) == {f"p{row}": row * 2 for row in range(21)}
    assert max(model.passes) == forward.size == {1: 1, 2: 2, 3: 2, 5: 4, 8: 8}[room]


def test_a_device_without_room_for_one_patch_is_an_error():
    with pytest.raises(UserError, match="too little free memory for one patch"):
        run(Forward(Doubling(0), "cpu"), 3)


def test_a_batch_that_does_not_fit_while_it_is_copied_halves_too(monkeypatch: pytest.MonkeyPatch):
    copy = torch.Tensor.to

    def small(pixels: torch.Tensor, *arguments: object, **options: object) -> torch.Tensor:
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return copy(pixels, *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "to", small)
    forward = Forward(Doubling(8), "cpu")
    assert run(forward, 8, 3) == {f"p{row}": row * 2 for row in range(11)}
    assert forward.size == 2


def test_nothing_to_embed():
    assert run(Forward(Doubling(8), "cpu")) == {}


def test_a_batch_is_read_before_the_last_one_is_asked_for():
    read = [threading.Event() for _ in range(5)]

    def noted() -> Iterator[tuple[list[str], tuple[np.ndarray]]]:
        for event, batch in zip(read, batches(1, 1, 1, 1, 1), strict=True):
            event.set()
            yield batch

    ahead = read_ahead(noted(), pin=False)
    assert next(ahead)[0] == ["p0"]
    assert next(ahead)[0] == ["p1"]
    assert read[2].wait(timeout=10)
    assert not read[4].is_set()  # but not without bound


def test_an_error_of_the_reader_arrives():
    def broken() -> Iterator[tuple[list[str], tuple[np.ndarray]]]:
        yield from batches(2)
        raise UserError("shard is cut short")

    with pytest.raises(UserError, match="shard is cut short"):
        for _ in Forward(Doubling(8), "cpu").over(read_ahead(broken(), pin=False)):
            pass


def test_vectors_are_not_overwritten_by_the_next_batch():
    kept = [vectors for _, vectors in Forward(Doubling(8), "cpu").over(read_ahead(batches(3, 3), pin=False))]
    np.testing.assert_array_equal(np.concatenate(kept)[:, 0], np.arange(6) * 2)
