"""Pixels for models."""

import numpy as np
import pytest
import torch

from tests.conftest import V1_SAMPLE, read_band


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """Real patches where they are at hand, else noise: the two models must agree on anything."""
    folder = V1_SAMPLE / "BigEarthNet-S1-v1.0"
    if not folder.exists():
        return torch.randn(6, 2, 120, 120) * 5 - 15
    patches = sorted(folder.iterdir())[:6]
    return torch.from_numpy(np.stack([[read_band(p / f"{p.name}_{b}.tif") for b in ("VV", "VH")] for p in patches]))
