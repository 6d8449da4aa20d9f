"""The scores of a probe or control: which patches it scored, and what they have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.storage.parquet import check_ids, parquet, read_metadata, with_metadata

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


class Scores(NamedTuple):
    """Scores of patches.

    Attributes:
        ids: of patches; of folds and of draws of train patches each once a repeat, of val and of test.
        splits: ``val`` or ``test``.
        scores: a probability a class, shape (patches, classes).
        targets: which classes a patch has, the same shape.
        repeats: in which repeat a patch was scored; None where there is one.
        groups: the group of each patch, of folds.
        folds: by the probe that had not seen which fold, of folds.
    """

    ids: Sequence[str]
    splits: Sequence[str]
    scores: Floats
    targets: Bools
    repeats: Sequence[int] | None = None
    groups: Sequence[str | None] | None = None
    folds: Sequence[int] | None = None


class Fit(NamedTuple):
    """What one probe scored.

    Attributes:
        tested: which of the test patches, by their rows.
        val_targets: shape (val patches, classes).
        val_scores: the same shape.
    """

    tested: npt.NDArray[np.intp]
    val_targets: Bools
    val_scores: Floats


class Test(NamedTuple):
    """The test patches, each once.

    Attributes:
        ids: of the patches.
        targets: shape (patches, classes).
        scores: shape (repeats, patches, classes).
        fits: of each repeat, the probes that scored it: one a fold, or one.
    """

    ids: Sequence[str]
    targets: Bools
    scores: Floats
    fits: Sequence[Sequence[Fit]]


def chooses(fold: int, count: int) -> int:
    """The fold on which the probe chooses that is tested on another."""
    return (fold + 1) % count


class FoldScores:
    """Scores that come fold by fold: of each repeat, those of every patch as one of test and as one of val."""

    def __init__(self, numbers: npt.NDArray[np.int64], targets: Bools) -> None:
        """Begins without scores.

        Args:
            numbers: the fold of each patch in each repeat, shape (patches, repeats).
            targets: shape (patches, classes).
        """
        self.numbers, self.targets = numbers, targets
        self.count = int(numbers.max()) + 1
        shape = (numbers.shape[1], *targets.shape)
        self.scores = {split: np.empty(shape, np.float32) for split in ("test", "val")}
        self.scored = {split: np.ones(shape[:2], bool) for split in ("test", "val")}

    def add(self, repeat: int, fold: int, scores: Mapping[str, Floats], val: Bools | None = None) -> None:
        """Takes what the probe scored that had not seen a fold.

        Args:
            repeat: the repeat.
            fold: the fold, which is its test.
            scores: of test and val, shape (patches, classes).
            val: on which patches it chose, where those are not all of the next fold, shape (patches,).
        """
        here = self.numbers[:, repeat]
        whole = here == chooses(fold, self.count)
        chose = whole if val is None else val
        self.scores["test"][repeat, here == fold] = scores["test"]
        self.scores["val"][repeat, chose] = scores["val"]
        self.scored["val"][repeat, whole] = chose[whole]

    def gathered(self, ids: Sequence[str], groups: Sequence[str | None]) -> Scores:
        """All scores, test first, and of val those of patches that a probe chose on.

        Args:
            ids: of the patches.
            groups: of the patches.
        """
        of_patches, columns = np.arange(len(ids)), []
        for split, first in (("test", 0), ("val", 1)):
            for repeat, scored in enumerate(self.scored[split]):
                # What is val of a probe is test of the next.
                folds = (self.numbers[:, repeat] - first) % self.count
                columns.append((split, repeat, of_patches[scored], folds[scored]))
        rows = np.concatenate([rows for _, _, rows, _ in columns])
        return Scores(
            [ids[row] for row in rows],
            [split for split, _, rows, _ in columns for _ in rows],
            np.concatenate([self.scores[split][repeat, rows] for split, repeat, rows, _ in columns]),
            self.targets[rows],
            [repeat for _, repeat, rows, _ in columns for _ in rows],
            [groups[row] for row in rows],
            np.concatenate([folds for *_, folds in columns]).tolist(),
        )


def joined(repeats: Sequence[Scores]) -> Scores:
    """The scores of several repeats one after the other."""
    return Scores(
        [patch_id for one in repeats for patch_id in one.ids],
        [split for one in repeats for split in one.splits],
        np.concatenate([one.scores for one in repeats]),
        np.concatenate([one.targets for one in repeats]),
        [repeat for one in repeats for repeat in one.repeats or ()],
    )


COLUMNS = {"repeats": ("repeat", pa.uint8()), "groups": ("group", pa.string()), "folds": ("fold", pa.uint8())}
"""The columns that a file has where there are repeats or folds."""


def write_scores(path: Path, scored: Scores, metadata: Mapping[str, Any]) -> None:
    """Writes scores with what is said of them, and reads their ids again."""
    size = scored.targets.shape[1]
    columns = {
        "patch_id": pa.array(scored.ids, pa.string()),
        "split": pa.array(scored.splits, pa.string()),
        "scores": pa.FixedSizeListArray.from_arrays(pa.array(scored.scores.ravel()), size),
        "targets": pa.FixedSizeListArray.from_arrays(pa.array(scored.targets.ravel()), size),
    }
    for attribute, (name, kind) in COLUMNS.items():
        values = getattr(scored, attribute)
        if values is not None:
            columns[name] = pa.array(values, kind)
    table = pa.table(columns)
    pq.write_table(table.cast(with_metadata(table.schema, metadata)), path, compression="zstd")
    check_ids(path, scored.ids)


def read_scores(path: Path) -> Scores:
    """Reads what :func:`write_scores` wrote."""
    with parquet(path) as file:
        table = file.read()
    size = len(read_metadata(path)["classes"])
    scores, targets = (
        table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
        for name in ("scores", "targets")
    )
    more = {
        attribute: table[name].to_pylist() for attribute, (name, _) in COLUMNS.items() if name in table.column_names
    }
    return Scores(table["patch_id"].to_pylist(), table["split"].to_pylist(), scores, targets, **more)


def scores_of_patches(path: Path, place: Mapping[str, int]) -> Floats:
    """The scores of some patches, each by a probe that was not fitted on it; of several the mean.

    Of a patch that was tested its scores of test count, else those of val.

    Args:
        path: ``scores.parquet``.
        place: the row of each patch.

    Returns:
        Shape (patches, classes), NaN where a patch has none.
    """
    scored = read_scores(path)
    rows = np.array([place.get(patch_id, -1) for patch_id in scored.ids])
    test = np.array(scored.splits) == "test"
    result = np.full((len(place), scored.scores.shape[1]), np.nan, np.float32)
    for chosen in (~test & (rows >= 0), test & (rows >= 0)):
        here, first, counts = np.unique(rows[chosen], return_inverse=True, return_counts=True)
        sums = np.zeros((len(here), result.shape[1]))
        np.add.at(sums, first, scored.scores[chosen])
        result[here] = sums / counts[:, None]
    return result


def of_test(scored: Scores) -> Test:
    """The test patches of some scores, and the val patches of the probes that scored them."""
    size = len(scored.ids)
    repeat, fold = (
        np.zeros(size, np.intp) if values is None else np.asarray(values, np.intp)
        for values in (scored.repeats, scored.folds)
    )
    test = np.array(scored.splits) == "test"
    repeats = int(repeat.max(initial=0)) + 1
    rows = np.flatnonzero(test).reshape(repeats, -1)
    fits = [
        [
            Fit(np.flatnonzero(fold[rows[number]] == one), scored.targets[val], scored.scores[val])
            for one in np.unique(fold[rows[number]])
            for val in [np.flatnonzero(~test & (repeat == number) & (fold == one))]
        ]
        for number in range(repeats)
    ]
    ids = [scored.ids[row] for row in rows[0]]
    return Test(ids, scored.targets[rows[0]], scored.scores[rows], fits)
