"""Which patches a probe is fitted on, and which it is tested on: once, or fold by fold."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from earthprobe.probes.data import splits_of
from earthprobe.storage.scores import chooses

Numbers = npt.NDArray[np.int64]


class Fit(NamedTuple):
    """The patches of a fit, by their rows.

    Attributes:
        repeat: in which of the repeats.
        train: ascending.
        test: ascending.
    """

    repeat: int
    train: Numbers
    test: Numbers


def fits_of(rows: pl.DataFrame, folds: Mapping[str, int] | None = None, buffer: float = 0) -> Iterator[Fit]:
    """The fits of a probe, as the step of training has them.

    Args:
        rows: of the index: ``split``, or ``folds``, and ``cells_to_test`` where there is a buffer.
        folds: how many ``folds`` and ``repeats`` the index has; None where it has splits. The fold on which a probe
            chooses is neither train nor test.
        buffer: train patches this near to a test patch, in cells, are left out.

    Raises:
        UserError: the buffer leaves no train patch.
    """
    if folds is None:
        parts = splits_of(rows.with_row_index("number"), buffer)
        yield Fit(0, *(parts[split]["number"].to_numpy().astype(np.int64) for split in ("train", "test")))
        return
    numbers = np.array(rows["folds"].to_list())
    count = folds["folds"]
    for repeat in range(folds["repeats"]):
        here = numbers[:, repeat]
        for fold in range(count):
            test = here == fold
            yield Fit(repeat, np.flatnonzero(~test & (here != chooses(fold, count))), np.flatnonzero(test))
