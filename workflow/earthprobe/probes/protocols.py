"""What other benchmarks do when they probe, so that a row can stand beside theirs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

PROTOCOLS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    # https://github.com/torchgeo/torchgeo-bench, 0.4: linear.py, and the defaults of its configuration
    "torchgeo-bench": {
        "linear": {"scale": False, "c": np.logspace(-6, 4, 40).tolist(), "select": "map_micro", "refit": True},
        "knn": {"scale": False, "metric": "l2", "k": 5},
    },
    # https://github.com/zhu-xlab/Copernicus-FM, Copernicus-Bench: configs/config.yaml, scripts/exp_config_dofa.py and
    # foundation_models/lightning_task.py
    "copernicus-bench": {
        "linear_sgd": {"scale": False, "learning_rate": None, "weight_decay": 1e-4, "batch_size": 64, "epochs": 50},
    },
}
"""The options of each kind of probe under a protocol."""


def applied(probe: Mapping[str, Any]) -> dict[str, Any]:
    """A probe with the options of its protocol, where it names one, in place of its own."""
    protocol = probe.get("protocol")
    own = {key: value for key, value in probe.items() if key != "protocol"}
    return own if protocol is None else {**own, **PROTOCOLS[protocol][own["kind"]]}
