"""Data for probes."""

import numpy as np
import pytest
from earthprobe.probes.interface import Data, Part


def targets_of(features: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Class 0 is linear, 1 needs two features at once, 2 is noise, 3 never occurs, 4 always."""
    return np.stack(
        [
            features[:, 0] + 0.5 * noise[:, 0] > 0,
            features[:, 1] * features[:, 2] + 0.2 * noise[:, 1] > 0,
            noise[:, 2] > 1,
            np.zeros(len(features), dtype=bool),
            np.ones(len(features), dtype=bool),
        ],
        axis=1,
    )


@pytest.fixture
def data() -> Data:
    rng = np.random.default_rng(0)
    parts = {}
    for split, count in (("train", 900), ("val", 300), ("test", 300)):
        features = rng.standard_normal((count, 8)).astype(np.float32)
        targets = targets_of(features, rng.standard_normal((count, 3)))
        parts[split] = Part([f"{split}{i:04d}" for i in range(count)], features, targets)
    return Data(parts, np.zeros(8, np.float32), np.ones(8, np.float32))
