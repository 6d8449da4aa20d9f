from pathlib import Path

import numpy as np
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import ensemble
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.scores import Scores, read_scores, write_scores


def written(path: Path, scores: np.ndarray, ids: tuple[str, ...] = ("a", "b", "c")) -> Path:
    targets = np.eye(3, dtype=bool)
    write_scores(path, Scores(ids, ["val", "test", "test"], scores, targets), {"classes": ["x", "y", "z"], "k": 1})
    return path


def test_scores_are_the_means(tmp_path: Path):
    scores = np.random.default_rng(0).random((3, 3, 3)).astype(np.float32)
    paths = [written(tmp_path / f"{i}.parquet", one) for i, one in enumerate(scores)]
    ensemble.run(scores=paths, output=tmp_path / "mean.parquet")
    found = read_scores(tmp_path / "mean.parquet")
    np.testing.assert_allclose(found.scores, scores.mean(axis=0), rtol=1e-6)
    assert found.ids == ["a", "b", "c"]
    said = read_metadata(tmp_path / "mean.parquet")
    assert (said["ensemble"], said["k"]) == (3, 1)


def test_other_patches_are_refused(tmp_path: Path):
    scores = np.zeros((3, 3), np.float32)
    paths = [written(tmp_path / "0.parquet", scores), written(tmp_path / "1.parquet", scores, ("a", "b", "d"))]
    with pytest.raises(UserError, match=r"1\.parquet has other patches than .*0\.parquet: delete both, and run again"):
        ensemble.run(scores=paths, output=tmp_path / "mean.parquet")
    assert not (tmp_path / "mean.parquet").exists()
