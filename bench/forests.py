"""Rows of forests, beside scikit-learn's."""

import sys
from typing import Any

import numpy as np

from bench.tools import CORES, Pairs, Row, peak_mib, probe_data


def _forest(data: Any, trees: int, kind: str) -> Any:
    from earthprobe import registry

    return registry.load("probes", kind).fit(data, threads=CORES, n_estimators=trees).scores["test"]


def _scikit_learns(data: Any, trees: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    train, test = data.parts["train"], data.parts["test"]
    forest = RandomForestClassifier(trees, random_state=0, n_jobs=CORES).fit(train.features, train.targets)
    for part in (data.parts["val"], test):
        columns = [p[:, 1] for p in forest.predict_proba(part.features)]
    return np.stack(columns, axis=1).astype(np.float32)


def _quality(data: Any, scores: Any) -> str:
    from sklearn.metrics import average_precision_score, fbeta_score

    targets = data.parts["test"].targets
    f2 = [fbeta_score(targets, scores >= 0.5, beta=2, average=mean, zero_division=0) for mean in ("macro", "micro")]
    return f"mAP {average_precision_score(targets, scores):.4f}, F2 macro {f2[0]:.4f}, micro {f2[1]:.4f}"


def random_forest(classes: int) -> Row:
    """Growing and scoring a forest: ours in batches, and scikit-learn at once."""
    data, trees = probe_data(10_000, classes), 12
    pairs = Pairs(lambda: _forest(data, trees, "random_forest"), lambda: _scikit_learns(data, trees))
    assert np.array_equal(pairs.result, pairs.expected)
    return pairs.rate(trees, "trees/s")


def _forest_of_classes(classes: int) -> Any:
    return _forest(probe_data(10_000, classes), 100, "random_forest")


def _scikit_learns_of_classes(classes: int) -> Any:
    return _scikit_learns(probe_data(10_000, classes), 100)


def random_forest_memory(classes: int) -> Row:
    """Peak memory of the same, with enough trees to count."""
    ours, scores = peak_mib(_forest_of_classes, classes)
    other, want = peak_mib(_scikit_learns_of_classes, classes)
    assert np.array_equal(scores, want)
    return Row(ours, other, "MiB", less_is_better=True)


def faster_forest(kind: str, rows: int, classes: int) -> Row:
    """Another kind of forest against scikit-learn's; mAP and F2 are compared, not equal."""
    data, trees = probe_data(rows, classes), 8
    _forest(probe_data(200, classes), 1, kind)  # what is compiled is compiled now
    pairs = Pairs(lambda: _forest(data, trees, kind), lambda: _scikit_learns(data, trees))
    for name, scores in ((kind, pairs.result), ("scikit-learn's random forest", pairs.expected)):
        print(f"{name}: {_quality(data, scores)}", file=sys.stderr)
    return pairs.rate(trees, "trees/s")
