"""Fit a probe on a feature set, and score val and test."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe import registry
from earthprobe.archives.interface import SPLITS
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.probes.interface import Data, Fitted, Floats, Part
from earthprobe.probes.protocols import applied
from earthprobe.storage.embeddings import read_embeddings
from earthprobe.storage.files import replacing
from earthprobe.storage.label_matrix import classes_of, label_matrix
from earthprobe.storage.parquet import check_ids, parquet, read_metadata, with_metadata

log = logging.getLogger(__name__)

SMALL = 2**20
"""Figures of all patches together, below which a probe is fitted on one thread."""


def run(
    *,
    probe: str,
    features: Path,
    index: Path,
    label_set: str,
    threads: int = 1,
    scores: Path,
    model: Path,
) -> None:
    """Fits a probe and writes its scores on val and test, and the model.

    Args:
        probe: JSON of the probe: its ``kind``, and its hyper-parameters where they are not the defaults.
        features: the merged embeddings.
        index: ``index.parquet``, for splits and labels.
        label_set: the name of the label set.
        threads: CPU threads.
        scores: columns ``patch_id``, ``split``, ``scores``, ``targets``; val first, each split by ``patch_id``. Where
            the index has folds, every patch is in ``test`` once a repeat (``repeat``), scored by a probe that has not
            seen its fold.
        model: the model's file; of folds that of a probe fitted on all patches, a fifth of which it chose on.
    """
    entry = entry_of("probes", probe, "--probe")
    entry = applied(entry)
    options = {key: value for key, value in entry.items() if key not in ("kind", "scale")}
    fit = registry.load("probes", entry["kind"]).fit
    with replacing(scores) as scores_part, replacing(model) as model_part:
        classes, said = classes_of(index, label_set), read_metadata(index)
        task, scale = said["tasks"][label_set], entry.get("scale", True)
        fitting = Fitting(entry["kind"], partial(fit, **options), threads, task, scale)
        if said.get("folds"):
            scored = fitting.over_folds(features, rows_of(features, index, label_set), len(classes), said["folds"])
        else:
            scored = fitting.over_splits(features, index, label_set, len(classes))
        metadata = {
            "features": read_metadata(features),
            "label_set": label_set,
            "classes": classes,
            "classes_left_out": said["classes_left_out"].get(label_set, {}),
            "task": fitting.task,
            "probe": entry,
            **scored.said,
        }
        table = _table(scored, len(classes), metadata)
        scored.save(model_part)
        pq.write_table(table, scores_part, compression="zstd")
        check_ids(scores_part, scored.ids)


class Scored(NamedTuple):
    """The scores of a probe, and the probe.

    Attributes:
        ids: of patches; of folds each once a repeat.
        splits: ``val`` or ``test``.
        repeats: in which repeat a patch was scored; None without folds.
        groups: the group of each patch, the same.
        scores: a probability a class, shape (patches, classes).
        targets: shape (patches, classes).
        said: for the metadata.
        save: writes the model.
    """

    ids: Sequence[str]
    splits: Sequence[str]
    repeats: Sequence[int] | None
    groups: Sequence[str | None] | None
    scores: Floats
    targets: npt.NDArray[np.bool_]
    said: Mapping[str, Any]
    save: Callable[[Path], None]


class Fitting(NamedTuple):
    """A probe to be fitted, once or fold by fold.

    Attributes:
        kind: of the probe.
        fit: fits it.
        threads: CPU threads.
        task: of the label set.
        scale: whether features are standardised.
    """

    kind: str
    fit: Callable[..., Fitted]
    threads: int
    task: str
    scale: bool = True

    def over_splits(self, features: Path, index: Path, label_set: str, classes: int) -> Scored:
        """Fits on train, and scores val and test."""
        data = load(features, index, label_set, classes, self.task, self.scale)
        patches = {split: len(part.ids) for split, part in data.parts.items()}
        log.info("%s, %s: %s", self.kind, label_set, patches)
        fitted = self._fitted(data)
        kept = {split: data.parts[split] for split in ("val", "test")}
        del data  # a model may be as large as the features: saving it needs their room
        return Scored(
            [patch_id for part in kept.values() for patch_id in part.ids],
            [split for split, part in kept.items() for _ in part.ids],
            None,
            None,
            np.concatenate([fitted.scores[split] for split in kept]).astype(np.float32),
            np.concatenate([part.targets for part in kept.values()]),
            {
                "chosen": fitted.chosen,
                "standardised": "by mean and standard deviation of the train split" if self.scale else "not at all",
                "fitted_on": "train and val" if fitted.chosen.get("refit") else "train",
                "patches": patches,
            },
            fitted.save,
        )

    def over_folds(self, features: Path, rows: pl.DataFrame, classes: int, folds: Mapping[str, int]) -> Scored:
        """Fits once a fold and repeat: the next fold is that on which a probe chooses, and the others train it."""
        (whole,) = _parts(features, {"train": rows}, classes).values()
        numbers = np.array(rows["folds"].to_list())
        count, repeats = folds["folds"], folds["repeats"]
        log.info("%s: %d patches, %d folds, %d times", self.kind, len(whole.ids), count, repeats)
        scores = np.empty((repeats, *whole.targets.shape), dtype=np.float32)
        # Threads that wait for each other cost more than they save where there is little to do.
        threads = 1 if whole.features.size < SMALL else self.threads
        chosen = []
        unseen: Counter[int] = Counter()
        for repeat in range(repeats):
            for fold in range(count):
                here = numbers[:, repeat]
                masks = {"val": here == (fold + 1) % count, "test": here == fold}
                masks["train"] = ~(masks["val"] | masks["test"])
                if not all(mask.any() for mask in masks.values()):
                    raise UserError(f"{features}: a fold has no patch left of those with pixels: give fewer folds")
                parts = {split: whole.where(mask) for split, mask in masks.items()}
                unseen.update(np.flatnonzero(~parts["train"].targets.any(axis=0)).tolist())
                fitted = self._fitted(standardised(parts, self.task, self.scale), threads)
                scores[repeat, masks["test"]] = fitted.scores["test"]
                chosen.append(fitted.chosen)
        for number, times in unseen.items():
            log.warning("class %d has no positive in the training part of %d of %d fits", number, times, len(chosen))
        masks = {"val": numbers[:, 0] == 0, "test": numbers[:, 0] == 0, "train": numbers[:, 0] != 0}
        parts = {split: whole.where(mask) for split, mask in masks.items()}
        last = self._fitted(standardised(parts, self.task, self.scale), threads)
        return Scored(
            whole.ids * repeats,
            ["test"] * (len(whole.ids) * repeats),
            [repeat for repeat in range(repeats) for _ in whole.ids],
            rows["group"].to_list() * repeats,
            scores.reshape(-1, classes),
            np.tile(whole.targets, (repeats, 1)),
            {
                "chosen": chosen[0],
                "chosen_by_fold": chosen,
                "standardised": "by mean and standard deviation of the training part of each fold"
                if self.scale
                else "not at all",
                "fitted_on": f"all but two of {count} folds, of which one chooses",
                "patches": {"test": len(whole.ids), "train": round(len(whole.ids) * (count - 2) / count)},
                "folds": dict(folds),
                "unseen_classes": {str(number): times for number, times in sorted(unseen.items())},
            },
            last.save,
        )

    def _fitted(self, data: Data, threads: int | None = None) -> Fitted:
        fitted = self.fit(data, threads=threads or self.threads)
        for split in ("val", "test"):
            scores = fitted.scores[split]
            if scores.shape != data.parts[split].targets.shape or not np.isfinite(scores).all():
                raise UserError(f"{self.kind}: some scores are missing or not finite: try other hyper-parameters")
        return fitted


def _table(scored: Scored, size: int, metadata: Mapping[str, Any]) -> pa.Table:
    columns = {
        "patch_id": pa.array(scored.ids, pa.string()),
        "split": pa.array(scored.splits, pa.string()),
        "scores": pa.FixedSizeListArray.from_arrays(pa.array(scored.scores.ravel()), size),
        "targets": pa.FixedSizeListArray.from_arrays(pa.array(scored.targets.ravel()), size),
    }
    if scored.repeats is not None:
        columns["repeat"] = pa.array(scored.repeats, pa.uint8())
        columns["group"] = pa.array(scored.groups, pa.string())
    table = pa.table(columns)
    return table.cast(with_metadata(table.schema, metadata))


def load(
    features: Path, index: Path, label_set: str, classes: int, task: str = "multilabel", scale: bool = True
) -> Data:
    """Reads and standardises a feature set with a label set, split by split.

    Raises:
        UserError: the index lacks a patch of the features, or a split is left without one.
    """
    rows = rows_of(features, index, label_set)
    splits = {split: rows.filter(pl.col("split") == split) for split in SPLITS}
    return standardised(_parts(features, splits, classes), task, scale)


def rows_of(features: Path, index: Path, label_set: str) -> pl.DataFrame:
    """The patches of a feature set that have labels: their row, split, group, labels and, where there are any, folds.

    Raises:
        UserError: the index lacks a patch of the features.
    """
    with parquet(features) as file:
        ids = pl.from_arrow(file.read(columns=["patch_id"]))
    labels = f"labels_{label_set}"
    wanted = {"patch_id", "split", "group", labels, "folds"}
    known = pl.read_parquet(index, columns=[name for name in pl.read_parquet_schema(index) if name in wanted])
    unlabelled = [entry[0] for entry in read_metadata(index)["rejected"]]
    rows = (
        pl.DataFrame(ids)
        .with_row_index("row")
        .filter(~pl.col("patch_id").is_in(unlabelled))
        .join(known, on="patch_id", how="left", maintain_order="left")
    )
    if rows[labels].null_count():
        lacking = rows.filter(pl.col(labels).is_null())["patch_id"][0]
        raise UserError(f"{index} has no {label_set}-class labels of {lacking}: features and index do not match")
    return rows.rename({labels: "labels"})


def _parts(features: Path, splits: Mapping[str, pl.DataFrame], classes: int) -> dict[str, Part]:
    """The vectors and targets of some patches, not standardised yet.

    Raises:
        UserError: there is no patch.
    """
    for split, here in splits.items():
        if here.is_empty():
            raise UserError(f"{features} has no patch of {split} with labels: rejected.csv says which were left out")
    vectors = read_embeddings(features, [here["row"].to_numpy() for here in splits.values()])
    return {
        split: Part(here["patch_id"].to_list(), matrix, label_matrix(here["labels"], classes))
        for (split, here), matrix in zip(splits.items(), vectors, strict=True)
    }


def standardised(parts: dict[str, Part], task: str = "multilabel", scale: bool = True) -> Data:
    """Standardises all parts, in place, by mean and deviation of train, unless features stay as they are."""
    if not scale:
        dimensions = parts["train"].features.shape[1]
        return Data(parts, np.zeros(dimensions, np.float32), np.ones(dimensions, np.float32), task)
    mean, std = moments(parts["train"].features)
    mean32, std32 = mean.astype(np.float32), std.astype(np.float32)
    std32[std32 == 0] = 1.0
    for part in parts.values():
        part.features -= mean32
        part.features /= std32
    return Data(parts, mean32, std32, task)


def moments(features: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each dimension in float64, without a float64 copy of the features."""
    mean = features.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(features), 4096):
        squares += np.square(features[start : start + 4096] - mean).sum(axis=0)
    return mean, np.sqrt(squares / max(len(features), 1))
