"""Which probe speaks for a feature set where only one can be shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from earthprobe.evaluation.metrics import BEST


def best_on_val(features: Sequence[str], results: Sequence[Mapping[str, Any]]) -> list[int]:
    """The row of the probe that val likes best of each feature set, in the order of the feature sets.

    The test split has no say, so that what is shown of it is no maximum over probes. Of equal ones the first counts.

    Args:
        features: the feature set of each row.
        results: the content of the ``metrics.json`` of each.
    """
    rows: dict[str, int] = {}
    for row, (name, result) in enumerate(zip(features, results, strict=True)):
        metric = BEST[result["task"]]
        if name not in rows or result["val"][metric] > results[rows[name]]["val"][metric]:
            rows[name] = row
    return list(rows.values())
