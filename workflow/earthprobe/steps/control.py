"""Score patches by predictors that see no pixel."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from earthprobe.errors import UserError
from earthprobe.evaluation.controls import CONTROLS, Control, Part
from earthprobe.storage.files import replacing
from earthprobe.storage.label_matrix import classes_of, label_matrix
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.scores import FoldScores, Scores, chooses, write_scores

log = logging.getLogger(__name__)

NEEDED = ("patch_id", "split", "group", "folds", "tile", "column", "row", "country", "month", "longitude", "latitude")
"""The columns of the index that a control may ask for."""

BUFFER = "cells_to_test"


def run(*, controls: Sequence[str], index: Path, label_set: str, buffer: float = 0, scores: Sequence[Path]) -> None:
    """Writes the scores of controls on val and test, as those of a probe.

    Args:
        controls: their names.
        index: ``index.parquet``.
        label_set: the name of the label set.
        buffer: train patches this near to a test patch, in cells of 1.2 km, are left out.
        scores: a file each.

    Raises:
        UserError: the buffer leaves no train patch.
    """
    said, classes = read_metadata(index), classes_of(index, label_set)
    labels = f"labels_{label_set}"
    wanted = [*NEEDED, *([BUFFER] if buffer else []), labels]
    rows = pl.read_parquet(index, columns=[name for name in pl.read_parquet_schema(index) if name in wanted])
    targets = label_matrix(rows[labels], len(classes))
    for name, path in zip(controls, scores, strict=True):
        control = CONTROLS[name]
        known = not rows.is_empty() and all(rows[column].null_count() < rows.height for column in control.needs)
        if not known:
            log.warning("%s: the archive says no %s of its patches", name, " or ".join(control.needs))
        scored, patches = _scored(control, rows, targets, said.get("folds"), buffer)
        metadata = {
            "features": {
                "archive": said["archive"],
                "simulated": said["simulated"],
                "kind": "control",
                "weights": "",
                "bands": [],
            },
            "label_set": label_set,
            "classes": classes,
            "classes_left_out": said["classes_left_out"].get(label_set, {}),
            "task": said["tasks"][label_set],
            "probe": {"kind": name},
            "control": {"says": control.says, "known": known},
            "buffer": buffer,
            "patches": patches,
            **({"folds": said["folds"], "unseen_classes": {}} if said.get("folds") else {}),
        }
        with replacing(path) as part:
            write_scores(part, scored, metadata)
        log.info("%s: %s", name, patches)


def _scored(
    control: Control,
    rows: pl.DataFrame,
    targets: npt.NDArray[np.bool_],
    folds: Mapping[str, Any] | None,
    buffer: float,
) -> tuple[Scores, dict[str, int]]:
    def of(mask: npt.NDArray[np.bool_]) -> Part:
        return Part(rows.filter(mask), targets[mask])

    ids, groups = rows["patch_id"].to_list(), rows["group"].to_list()
    if folds is None:
        split = rows["split"].to_numpy()
        here = {name: split == name for name in ("train", "val", "test")}
        if buffer:
            here["train"] &= beyond(rows, buffer)
            if not here["train"].any():
                raise UserError(f"no train patch is further than {buffer:g} cells from all of test: give less")
        parts = {name: of(mask) for name, mask in here.items()}
        kept = ("val", "test")
        return (
            Scores(
                [patch_id for name in kept for patch_id in parts[name].rows["patch_id"]],
                [name for name in kept for _ in parts[name].targets],
                np.concatenate([control.function(parts["train"], parts[name]) for name in kept]),
                np.concatenate([parts[name].targets for name in kept]),
            ),
            {name: len(part.targets) for name, part in parts.items()},
        )
    numbers = np.array(rows["folds"].to_list())
    count, repeats = folds["folds"], folds["repeats"]
    scored = FoldScores(numbers, targets)
    for repeat in range(repeats):
        for fold in range(count):
            # As a probe is fitted: the next fold is that on which it chooses.
            masks = {"test": numbers[:, repeat] == fold, "val": numbers[:, repeat] == chooses(fold, count)}
            train = of(~(masks["test"] | masks["val"]))
            scored.add(repeat, fold, {name: control.function(train, of(mask)) for name, mask in masks.items()})
    return scored.gathered(ids, groups), {"test": len(ids), "train": round(len(ids) * (count - 2) / count)}


def beyond(rows: pl.DataFrame, buffer: float) -> npt.NDArray[np.bool_]:
    """Which patches are further from all test patches than so many cells; unknown places are not."""
    return rows[BUFFER].fill_null(0).to_numpy() > buffer
