"""What every probe is to the steps: the train and val splits of a feature set in, scores of val and test out.

A kind's module has

- ``fit(data, *, threads, **options) -> Fitted``, whose keywords are the options of its YAML file, but for ``scale``,
  ``protocol`` and ``jobs``, on which the step of training acts;
- ``read(model) -> Callable[[Floats], Floats]``: a saved model, as a function from embeddings as the feature set holds
  them, shape (patches, dimensions), to a probability a class, shape (patches, classes).

A forest, whose trees several jobs can grow (the option ``jobs``), has these as well:

- ``trees(data, *, threads, numbers, **options) -> Iterator[Grown]``: the trees of these numbers;
- ``gathered(data, *, parts, **options) -> Fitted``: what ``fit`` returns, of the trees that were written to ``parts``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass
class Part:
    """The patches of one split.

    Attributes:
        ids: the patch ids.
        features: standardised embeddings, shape (patches, dimensions).
        targets: which classes a patch has, shape (patches, classes).
    """

    ids: list[str]
    features: Floats
    targets: Bools

    def where(self, mask: Bools) -> "Part":
        """A copy of those patches."""
        ids = [patch_id for patch_id, kept in zip(self.ids, mask, strict=True) if kept]
        return Part(ids, self.features[mask], self.targets[mask])


@dataclass
class Data:
    """A feature set and a label set, split.

    Attributes:
        parts: train, val and test.
        mean: the mean of each dimension over train, which was subtracted.
        std: its standard deviation, by which was divided (1 where a dimension does not vary).
        task: ``multilabel`` where a patch has any number of classes, ``single`` where it has one.
    """

    parts: dict[str, Part]
    mean: Floats
    std: Floats
    task: str = "multilabel"


@dataclass
class Fitted:
    """What a probe returns.

    Attributes:
        scores: for val and test, a probability a class, shape (patches, classes); of classes that exclude each other
            they add up to 1.
        chosen: what was chosen on val, or observed in fitting, for ``metrics.json``; ``limits`` are sentences on what
            lies at the end of its grid or was stopped, for the log and the table.
        save: writes the model under a given path, in a format that runs no code on loading.
    """

    scores: dict[str, Floats]
    chosen: dict[str, Any]
    save: Callable[[Path], None]
