"""The one exception that a user is meant to read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something that the user can mend: one line that says what is wrong, where, and what to do."""


@contextmanager
def told_of_memory() -> Iterator[None]:
    """Makes a :class:`UserError` of memory that does not suffice, of this machine or of its GPU."""
    try:
        yield
    except MemoryError as error:
        said = " ".join(str(error).split())
        raise UserError(f"too little memory, of this machine or for this job: {said}".rstrip(": ")) from error
    except RuntimeError as error:
        torch = sys.modules.get("torch")  # which takes seconds, and no step has this error without it
        if torch is None or not isinstance(error, torch.OutOfMemoryError):
            raise
        raise UserError(
            "the GPU has too little free memory: run fewer jobs at once (--cores), "
            "or hide it from them (export CUDA_VISIBLE_DEVICES=), so that they run on the CPU"
        ) from error
