"""Take the mean scores of probes that differ in their seed alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from earthprobe.errors import UserError
from earthprobe.storage.files import replacing
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.scores import read_scores, write_scores


def run(*, scores: Sequence[Path], output: Path) -> None:
    """Writes for each patch and class the mean of its scores.

    Args:
        scores: of each seed.
        output: the scores of all together, as those of a probe.

    Raises:
        UserError: they are not of the same patches.
    """
    with replacing(output) as part:
        first = read_scores(scores[0])
        total = first.scores.astype(np.float64)
        for path in scores[1:]:
            other = read_scores(path)
            if (other.ids, other.splits, other.repeats) != (first.ids, first.splits, first.repeats):
                raise UserError(f"{path} has other patches than {scores[0]}: delete both, and run again")
            total += other.scores
        mean = (total / len(scores)).astype(np.float32)
        write_scores(part, first._replace(scores=mean), {**read_metadata(scores[0]), "ensemble": len(scores)})
