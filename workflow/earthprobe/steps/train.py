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

from earthprobe import registry
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.evaluation.clusters import clusters
from earthprobe.probes.budgets import ordered, shared
from earthprobe.probes.data import SPLITS, load, parts_of, permuted, rows_of, splits_of, standardised
from earthprobe.probes.interface import Data, Fitted
from earthprobe.probes.protocols import applied
from earthprobe.provenance import made_on
from earthprobe.storage.files import replacing
from earthprobe.storage.label_matrix import classes_of, label_matrix
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.scores import FoldScores, Scores, chooses, joined, write_scores

log = logging.getLogger(__name__)

PERMUTED = "a probe under labels that changed hands between patches: what a score is where nothing can be learnt"

SMALL = 2**20
"""Figures of all patches together, below which a probe is fitted on one thread."""


def run(
    *,
    probe: str,
    features: Path,
    index: Path,
    label_set: str,
    threads: int = 1,
    buffer: float = 0,
    permute: int | None = None,
    budget: int | None = None,
    draws: int = 5,
    parts: Sequence[Path] = (),
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
        buffer: train patches this near to a test patch, in cells of 1.2 km, are left out.
        budget: how many train patches have labels, drawn tile by tile; val is cut alike. None takes all.
        draws: how often they are drawn, each a repeat (``repeat``); of folds they are drawn anew in each fit.
        parts: the trees that ``train-part`` has grown, in their order; without, all are grown here.
        permute: for a control: the labels of train, and those of val, change hands by this seed.
        scores: columns ``patch_id``, ``split``, ``scores``, ``targets``; val first, each split by ``patch_id``. Where
            the index has folds, every patch is in ``test`` once a repeat (``repeat``), scored by a probe that has not
            seen its fold (``fold``), and in ``val`` once, scored by the probe that chose on it.
        model: the model's file; of folds that of a probe that chose on one fold and was fitted on all others.

    Raises:
        UserError: ``parts`` are of a probe that is no forest, or are not grown on the train patches as they are.
    """
    entry = entry_of("probes", probe, "--probe")
    protocol, entry = entry.get("protocol"), applied(entry)
    for alike in ("seeds", "jobs"):  # this is one of the seeds; and how many jobs grow a forest changes nothing
        entry.pop(alike, None)
    options = {key: value for key, value in entry.items() if key not in ("kind", "scale")}
    module = registry.load("probes", entry["kind"])
    if parts and not hasattr(module, "gathered"):
        raise UserError(f"--parts: a probe of kind {entry['kind']} has no trees")
    fit = partial(module.gathered, parts=parts) if parts else module.fit
    with replacing(scores) as scores_part, replacing(model) as model_part:
        classes, said = classes_of(index, label_set), read_metadata(index)
        task, scale = said["tasks"][label_set], entry.get("scale", True)
        fitting = Fitting(entry["kind"], partial(fit, **options), threads, task, scale, permute)
        if parts and (permute is not None or budget is not None or said.get("folds")):
            raise UserError("--parts: trees are grown on the split as it is: leave out --permute, --budget and folds")
        if said.get("folds"):
            rows = rows_of(features, index, label_set)
            scored = fitting.over_folds(features, rows, len(classes), said["folds"], budget)
        elif budget is not None:
            rows = pl.concat(splits_of(rows_of(features, index, label_set), buffer).values())
            scored = fitting.over_draws(features, rows, len(classes), budget, draws)
        else:
            scored = fitting.over_splits(features, index, label_set, len(classes), buffer)
        metadata = {
            "features": read_metadata(features),
            "made_on": made_on(threads),
            "label_set": label_set,
            "classes": classes,
            "classes_left_out": said["classes_left_out"].get(label_set, {}),
            "task": fitting.task,
            "probe": entry if protocol is None else {**entry, "protocol": protocol},
            "buffer": buffer,
            **({} if budget is None else {"label_budget": budget}),
            **({} if permute is None else {"permuted": permute, "control": {"says": PERMUTED, "known": True}}),
            **scored.said,
        }
        scored.save(model_part)
        write_scores(scores_part, scored.scores, metadata)


class Scored(NamedTuple):
    """The scores of a probe, and the probe.

    Attributes:
        scores: of val and test.
        said: for the metadata.
        save: writes the model.
    """

    scores: Scores
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
        permute: the seed by which labels change hands; None leaves them.
    """

    kind: str
    fit: Callable[..., Fitted]
    threads: int
    task: str
    scale: bool = True
    permute: int | None = None

    def over_splits(self, features: Path, index: Path, label_set: str, classes: int, buffer: float = 0) -> Scored:
        """Fits on train, and scores val and test."""
        data = load(features, index, label_set, classes, self.task, self.scale, buffer)
        patches = {split: len(part.ids) for split, part in data.parts.items()}
        log.info("%s, %s: %s", self.kind, label_set, patches)
        fitted = self._fitted(data)
        kept = {split: data.parts[split] for split in ("val", "test")}
        del data  # a model may be as large as the features: saving it needs their room
        scores = Scores(
            [patch_id for part in kept.values() for patch_id in part.ids],
            [split for split, part in kept.items() for _ in part.ids],
            np.concatenate([fitted.scores[split] for split in kept]).astype(np.float32),
            np.concatenate([part.targets for part in kept.values()]),
        )
        return Scored(
            scores,
            {
                "chosen": fitted.chosen,
                "limits": fitted.chosen.get("limits", []),
                "standardised": "by mean and standard deviation of the train split" if self.scale else "not at all",
                "fitted_on": "train and val" if fitted.chosen.get("refit") else "train",
                "patches": patches,
            },
            fitted.save,
        )

    def over_draws(self, features: Path, rows: pl.DataFrame, classes: int, budget: int, draws: int) -> Scored:
        """Fits on some of the train patches, drawn several times, with as large a share of val."""
        split, places, targets = rows["split"].to_numpy(), places_of(rows), label_matrix(rows["labels"], classes)
        whole = {name: split == name for name in SPLITS}
        scored, chosen, first = [], [], None
        for draw in range(draws):
            masks = whole | cut_masks(whole, targets, places, budget, (draw,))
            cut = {name: rows.filter(mask) for name, mask in masks.items()}
            fitted = self._fitted(standardised(parts_of(features, cut, classes), self.task, self.scale))
            first = first or fitted
            chosen.append(fitted.chosen)
            kept = pl.concat([cut["val"], cut["test"]])
            scored.append(
                Scores(
                    kept["patch_id"].to_list(),
                    kept["split"].to_list(),
                    np.concatenate([fitted.scores[name] for name in ("val", "test")]).astype(np.float32),
                    label_matrix(kept["labels"], classes),
                    [draw] * kept.height,
                )
            )
            log.info("draw %d: %d train patches", draw, cut["train"].height)
        assert first is not None  # the schema asks for at least one draw  # noqa: S101
        return Scored(
            joined(scored),
            {
                "chosen": chosen[0],
                "limits": limits_of(chosen),
                "standardised": "by mean and standard deviation of the train patches of each draw"
                if self.scale
                else "not at all",
                "fitted_on": "train and val" if first.chosen.get("refit") else "train",
                "patches": {name: part.height for name, part in cut.items()},
            },
            first.save,
        )

    def over_folds(
        self, features: Path, rows: pl.DataFrame, classes: int, folds: Mapping[str, int], budget: int | None = None
    ) -> Scored:
        """Fits once a fold and repeat: the next fold is that on which a probe chooses, and the others train it."""
        places = [] if budget is None else places_of(rows)
        (whole,) = parts_of(features, {"train": rows}, classes).values()
        numbers = np.array(rows["folds"].to_list())
        count, repeats = folds["folds"], folds["repeats"]
        log.info("%s: %d patches, %d folds, %d times", self.kind, len(whole.ids), count, repeats)
        scored = FoldScores(numbers, whole.targets)
        # Threads that wait for each other cost more than they save where there is little to do.
        threads = 1 if whole.features.size < SMALL else self.threads
        chosen, trained = [], []
        unseen: Counter[int] = Counter()
        for repeat in range(repeats):
            for fold in range(count):
                here = numbers[:, repeat]
                masks = {"val": here == chooses(fold, count), "test": here == fold}
                masks["train"] = ~(masks["val"] | masks["test"])
                if budget is not None:
                    masks |= cut_masks(masks, whole.targets, places, budget, (repeat, fold))
                if not all(mask.any() for mask in masks.values()):
                    raise UserError(f"{features}: a fold has no patch left of those with pixels: give fewer folds")
                trained.append(int(masks["train"].sum()))
                parts = {split: whole.where(mask) for split, mask in masks.items()}
                unseen.update(np.flatnonzero(~parts["train"].targets.any(axis=0)).tolist())
                fitted = self._fitted(standardised(parts, self.task, self.scale), threads)
                scored.add(repeat, fold, fitted.scores, masks["val"])
                chosen.append(fitted.chosen)
        for number, times in unseen.items():
            log.warning("class %d has no positive in the training part of %d of %d fits", number, times, len(chosen))
        masks = {"val": numbers[:, 0] == 0, "test": numbers[:, 0] == 0, "train": numbers[:, 0] != 0}
        parts = {split: whole.where(mask) for split, mask in masks.items()}
        last = self._fitted(standardised(parts, self.task, self.scale), threads)
        return Scored(
            scored.gathered(whole.ids, rows["group"].to_list()),
            {
                "chosen": chosen[0],
                "limits": limits_of(chosen),
                "chosen_by_fold": chosen,
                "standardised": "by mean and standard deviation of the training part of each fold"
                if self.scale
                else "not at all",
                "fitted_on": f"all but two of {count} folds, of which one chooses",
                "patches": {"test": len(whole.ids), "train": round(float(np.mean(trained)))},
                "folds": dict(folds),
                "unseen_classes": {str(number): times for number, times in sorted(unseen.items())},
            },
            last.save,
        )

    def _fitted(self, data: Data, threads: int | None = None) -> Fitted:
        given = data if self.permute is None else permuted(data, self.permute)
        fitted = self.fit(given, threads=threads or self.threads)
        for limit in fitted.chosen.get("limits", []):
            log.warning("%s %s", self.kind, limit)
        for split in ("val", "test"):
            scores = fitted.scores[split]
            if scores.shape != data.parts[split].targets.shape or not np.isfinite(scores).all():
                raise UserError(f"{self.kind}: some scores are missing or not finite: try other hyper-parameters")
        return fitted


def places_of(rows: pl.DataFrame) -> list[str]:
    """Of each patch, the tile or scene of which labels are bought together."""
    return clusters(rows, "auto").names


def cut_masks(
    masks: Mapping[str, npt.NDArray[np.bool_]],
    targets: npt.NDArray[np.bool_],
    places: Sequence[str],
    budget: int,
    seed: Sequence[int],
) -> dict[str, npt.NDArray[np.bool_]]:
    """The train and val patches of a fit that a budget of labels buys."""
    sizes = {split: int(masks[split].sum()) for split in ("train", "val")}
    counts = {"train": budget, "val": shared(budget, sizes["train"], sizes["val"])}
    found = {}
    for number, (split, count) in enumerate(counts.items()):
        rows = np.flatnonzero(masks[split])
        order = ordered(targets[rows], [places[int(row)] for row in rows], (*seed, number))
        found[split] = np.zeros_like(masks[split])
        found[split][rows[order[:count]]] = True
    return found


def limits_of(chosen: Sequence[Mapping[str, Any]]) -> list[str]:
    """What several fits say of their limits, with how often each was reached."""
    counts = Counter(limit.partition(" (")[0] for one in chosen for limit in one.get("limits", []))
    return [f"{limit} in {times} of {len(chosen)} fits" for limit, times in counts.items()]
