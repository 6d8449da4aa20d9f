"""Forests against scikit-learn's, to the bit."""

from pathlib import Path

import numpy as np
import pytest
from earthprobe.errors import UserError
from earthprobe.probes import binned_forest, extra_trees, forest, random_forest
from earthprobe.probes.interface import Data
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

KINDS = {"random_forest": random_forest, "extra_trees": extra_trees, "binned_forest": binned_forest}


@pytest.mark.parametrize("kind", ["random_forest", "extra_trees"])
@pytest.mark.parametrize("options", [{}, {"min_samples_leaf": 7}, {"max_depth": 4, "seed": 3}], ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_the_forest_is_scikit_learns_bit_for_bit(data: Data, kind: str, options: dict, threads: int):
    settings = {"max_depth": None, "min_samples_leaf": 1, "seed": 0} | options
    model = {"random_forest": RandomForestClassifier, "extra_trees": ExtraTreesClassifier}[kind]
    arguments = {key: value for key, value in settings.items() if key != "seed"}
    theirs = model(n_estimators=10, random_state=settings["seed"], **arguments).fit(
        data.parts["train"].features, data.parts["train"].targets
    )
    ours = KINDS[kind].fit(data, threads=threads, n_estimators=10, **settings)
    for split in ("val", "test"):
        probabilities = theirs.predict_proba(data.parts[split].features)
        for index in (0, 1, 2):
            want = probabilities[index][:, 1].astype(np.float32)
            np.testing.assert_array_equal(ours.scores[split][:, index], want)
        assert (ours.scores[split][:, 3] == 0).all()
        assert (ours.scores[split][:, 4] == 1).all()
    assert ours.chosen["nodes"] == sum(tree.tree_.node_count for tree in theirs.estimators_)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("random_forest", {}),
        ("random_forest", {"min_samples_leaf": 7}),
        ("extra_trees", {}),
        ("binned_forest", {}),
        ("binned_forest", {"min_samples_leaf": 7}),
    ],
)
def test_a_saved_forest_scores_as_it_did(data: Data, kind: str, options: dict, tmp_path: Path):
    data.mean[:], data.std[:] = 2, 3
    fitted = KINDS[kind].fit(data, threads=2, n_estimators=10, **options)
    fitted.save(tmp_path / "model.safetensors")
    model = forest.Forest.read(tmp_path / "model.safetensors")
    assert len(model.trees) == 10
    raw = data.parts["test"].features * data.std + data.mean
    again = model.scores(raw)
    # Undoing the standardising moves a value by a rounding error, which may move it over a threshold.
    same = np.isclose(again, fitted.scores["test"], atol=1e-6).all(axis=1)
    assert same.mean() > 0.98
    assert again.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", ["multilabel", "single"])
def test_trees_of_several_jobs_are_one_forest_to_the_byte(data: Data, kind: str, task: str, tmp_path: Path):
    data.task = task
    if task == "single":
        for part in data.parts.values():
            part.targets = np.eye(3, dtype=bool)[np.digitize(part.features[:, 0], [-0.5, 0.5])]
    module, options = KINDS[kind], {"min_samples_leaf": 3, "seed": 4}
    whole = module.fit(data, threads=2, n_estimators=11, **options)
    parts = [tmp_path / f"{part}.safetensors" for part in range(4)]
    for number, path in enumerate(parts):
        numbers = forest.share_of(11, number, len(parts))
        forest.write_part(path, module.trees(data, threads=2, numbers=numbers, **options))
    together = module.gathered(data, parts=parts, threads=1, n_estimators=11, **options)
    for split in ("val", "test"):
        assert together.scores[split].tobytes() == whole.scores[split].tobytes()
    assert together.chosen == whole.chosen
    with pytest.raises(UserError, match="--parts hold 8 trees, and the probe has 11: give each part once"):
        module.gathered(data, parts=parts[:3], threads=1, n_estimators=11, **options)
    for fitted, name in ((whole, "whole"), (together, "together")):
        fitted.save(tmp_path / name)
    assert (tmp_path / "together").read_bytes() == (tmp_path / "whole").read_bytes()


def test_thresholds_of_single_precision_decide_as_those_of_double(data: Data):
    train = data.parts["train"]
    theirs = RandomForestClassifier(n_estimators=1, random_state=0).fit(train.features, train.targets)
    tree = theirs.estimators_[0].tree_
    compact, _ = forest.shrink(tree, theirs.classes_)
    inner = tree.feature >= 0
    exact = tree.threshold[inner]
    assert (compact.threshold[inner] <= exact).all()
    assert (np.nextafter(compact.threshold[inner], np.float32(np.inf)) > exact).all()
    model = forest.Forest([compact], np.zeros(8, np.float32), np.ones(8, np.float32))
    on_edges = np.repeat(exact[:, None].astype(np.float32), 8, axis=1)  # values at the thresholds themselves
    want = np.stack([p[:, -1] for p in theirs.predict_proba(on_edges)], axis=1)
    np.testing.assert_allclose(model.scores(on_edges)[:, :3], want[:, :3], atol=1e-6)


def test_trees_that_grow_at_once_share_the_memory_that_there_is():
    one = forest.most_bytes(269_695, 43, bootstrap=True)
    assert 0.4e9 < one < 0.6e9
    assert forest.GROWING // one == 5
    assert forest.most_bytes(269_695, 19, bootstrap=True) < one / 2
