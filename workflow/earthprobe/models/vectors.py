"""Vectors that no pixels are seen for; by itself, since torch takes seconds to import."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Vectors(NamedTuple):
    """Vectors that no pixels were seen for.

    Attributes:
        ids: of the patches that have one.
        matrix: shape (patches, dimensions).
        settings: what a reader must know of them, for the features' metadata.
        missing: the ids of those that have none.
    """

    ids: Sequence[str]
    matrix: Floats
    settings: Mapping[str, Any]
    missing: Sequence[str] = ()
