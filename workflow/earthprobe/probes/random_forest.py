"""train_random_forest: scikit-learn's random forest, one forest for all classes."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skops.io
from sklearn.ensemble import RandomForestClassifier

from earthprobe.probes.train import Data, Fitted, Floats

log = logging.getLogger(__name__)


def fit(data: Data, probe: Mapping[str, Any], threads: int) -> Fitted:
    """Grows the forest on train; val is scored, not used.

    A patch's score for a class is the mean over the trees of the class's share in the leaf.
    """
    train = data.parts["train"]
    forest = RandomForestClassifier(
        n_estimators=probe["n_estimators"],
        max_depth=probe["max_depth"],
        min_samples_leaf=probe["min_samples_leaf"],
        random_state=probe["seed"],
        n_jobs=threads,
        verbose=1,  # trees done and time left; the command line sends it to the log
    ).fit(train.features, train.targets)
    scores = {split: _positive(forest, data.parts[split].features) for split in ("val", "test")}
    nodes = sum(tree.tree_.node_count for tree in forest.estimators_)
    log.info("%d trees, %d nodes", len(forest.estimators_), nodes)

    def save(path: Path) -> None:
        skops.io.dump({"forest": forest, "mean": data.mean, "std": data.std}, path)

    return Fitted(scores, {"nodes": nodes, "scikit_learn_version": sklearn.__version__}, save)


def _positive(forest: RandomForestClassifier, features: Floats) -> Floats:
    """The probability that a class is there; in a class that train has always or never, it is 1 or 0."""
    columns = []
    for probabilities, known in zip(forest.predict_proba(features), forest.classes_, strict=True):
        if len(known) == 2:
            columns.append(probabilities[:, 1])
        else:
            columns.append(np.full(len(features), float(known[0])))
    return np.stack(columns, axis=1).astype(np.float32)
