from pathlib import Path

import numpy as np
from earthprobe.storage.scores import Scores, scores_of_patches, write_scores


def test_scores_of_a_patch_are_the_mean_of_those_that_tested_it(tmp_path: Path):
    scored = Scores(
        ["a", "b", "a", "a", "c", "z"],
        ["test", "val", "test", "val", "val", "test"],
        np.array([[0.2], [0.4], [0.6], [0.9], [0.1], [1.0]], np.float32),
        np.ones((6, 1), bool),
    )
    write_scores(tmp_path / "scores.parquet", scored, {"classes": ["x"]})
    values = scores_of_patches(tmp_path / "scores.parquet", {"a": 0, "b": 1, "c": 2, "d": 3})
    np.testing.assert_allclose(values[:, 0], [0.4, 0.4, 0.1, np.nan], rtol=1e-6)
