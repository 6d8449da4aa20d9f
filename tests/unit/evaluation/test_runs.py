"""What is tuned on val, of splits, folds and seeds."""

import numpy as np
from earthprobe.evaluation.calibration import temperature, tempered
from earthprobe.evaluation.intervals import evaluated, weights_of_runs
from earthprobe.evaluation.runs import plain, runs_of
from earthprobe.evaluation.thresholds import tuned
from earthprobe.storage.scores import FoldScores, Scores, of_test

from tests.unit.evaluation.test_resampling import case


def test_each_fold_is_tuned_on_the_patches_that_its_probe_chose_on():
    targets, _ = case("multilabel", 90)
    rng = np.random.default_rng(0)
    numbers = np.stack([np.arange(90) % 3, np.arange(90) // 30], axis=1)
    folds = FoldScores(numbers, targets)
    given = {}
    for repeat in range(2):
        for fold in range(3):
            for split, size in (("test", 30), ("val", 30)):
                given[repeat, fold, split] = rng.random((size, 6)).astype(np.float32)
            folds.add(repeat, fold, {split: given[repeat, fold, split] for split in ("test", "val")})
    row = runs_of([of_test(folds.gathered([f"p{i}" for i in range(90)], ["g"] * 90))], 0.5, "multilabel")
    assert len(row.runs[0]) == 2
    for repeat, run in enumerate(row.runs[0]):
        for fold in range(3):
            here, val = numbers[:, repeat] == fold, numbers[:, repeat] == (fold + 1) % 3
            np.testing.assert_array_equal(run.scores[here], given[repeat, fold, "test"])
            found = tuned(targets[val], given[repeat, fold, "val"], 0.5)
            assert (run.thresholds["global"][here] == found.overall).all()
            np.testing.assert_array_equal(run.thresholds["per_class"][here], np.tile(found.per_class, (30, 1)))
            heat = temperature(targets[val], given[repeat, fold, "val"], "multilabel")
            assert run.temperatures[fold] == heat
            cooled = tempered(given[repeat, fold, "test"], heat, "multilabel")
            np.testing.assert_array_equal(run.tempered[here], cooled)
        part = run.of([3, 80])
        np.testing.assert_array_equal(part.scores, run.scores[[3, 80]])
        np.testing.assert_array_equal(part.thresholds["global"], run.thresholds["global"][[3, 80]])
        assert part.thresholds["fixed"].shape == (2, 6)


def test_of_splits_test_is_what_is_not_val():
    targets, scores = case("multilabel", 50)
    ids, splits = [f"p{i}" for i in range(50)], ["val"] * 20 + ["test"] * 30
    test = of_test(Scores(ids, splits, scores, targets))
    assert test.ids == ids[20:]
    ((fit,),) = test.fits
    np.testing.assert_array_equal(fit.val_scores, scores[:20])
    row = runs_of([test, test], 0.5, "multilabel")
    assert [len(repeats) for repeats in row.runs] == [1, 1]
    assert row.runs[0][0].thresholds["global"].shape == (1, 6)


def test_seeds_that_differ_widen_an_interval_by_their_variance():
    """The variance of a mean over n seeds is s^2 / n, whatever n is."""
    for seeds in (2, 3, 5):
        weights = weights_of_runs(seeds, 1, 40_000, 0)
        np.testing.assert_allclose(weights.sum(axis=1), 1)
        values = np.random.default_rng(seeds).normal(size=seeds)
        drawn = weights @ values
        assert abs(drawn.mean() / values.mean() - 1) < 0.05 or abs(drawn.mean() - values.mean()) < 0.01
        np.testing.assert_allclose(drawn.var(), values.var(ddof=1) / seeds, rtol=0.05)
    both = weights_of_runs(2, 3, 1000, 0)
    assert both.shape == (1000, 6)
    assert (weights_of_runs(1, 1, 5, 0) == 1).all()


def test_seeds_are_means_with_each_beside_it():
    targets, scores = case("multilabel", 100)
    other = case("multilabel", 100, seed=4)[1]
    sure = evaluated(targets, [[plain(scores, 0.5)], [plain(other, 0.5)]], np.arange(100), "multilabel", draws=200)
    one, two = (evaluated(targets, [[plain(s, 0.5)]], np.arange(100), "multilabel", 200) for s in (scores, other))
    for name, value in sure.values.items():
        assert value == np.mean([one.values[name], two.values[name]])
        assert [each[name] for each in sure.each] == [one.values[name], two.values[name]]


def test_an_interval_stays_within_what_a_metric_can_be():
    """Of a row that predicts in one run alone, a stretched share of the other would lead below 0."""
    targets, scores = case("multilabel", 60)
    nothing = np.zeros_like(scores)
    sure = evaluated(targets, [[plain(nothing, 0.5)], [plain(scores, 0.5)]], np.arange(60), "multilabel", draws=300)
    for name, (low, high) in sure.overall.items():
        assert 0 <= low <= high <= 1, name
    assert sure.draws["f2_macro"].min() == 0
