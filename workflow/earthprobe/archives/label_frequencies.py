"""Draws the labels of a simulated patch, with the frequencies that label sets and classes have in the real archive."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from earthprobe import registry
from earthprobe.archives.bigearthnet import CLASSES_43, FROM_43_TO_19
from earthprobe.errors import UserError

ARCHIVE_PATCHES = 590_326


class Frequencies(NamedTuple):
    """How often labels occur.

    Attributes:
        sets: the 19-class label sets.
        shares: of each.
        counts: how many published patches have each of the 43 classes.
    """

    sets: Sequence[Sequence[int]]
    shares: npt.NDArray[np.float64]
    counts: Sequence[int]


def read_frequencies(label_sets: Path) -> Frequencies:
    """Reads a CSV of 19-class label sets and how many patches have each, and the published counts of the 43 classes.

    Raises:
        UserError: it holds no label set.
    """
    with label_sets.open(newline="", encoding="utf-8") as stream:
        rows = [([int(i) for i in r["label_set"].split()], int(r["patches"])) for r in csv.DictReader(stream)]
    if not rows:
        raise UserError(f"{label_sets} holds no label set")
    patches = np.array([count for _, count in rows], dtype=np.float64)
    counts = registry.kind("archives", "bigearthnet-v1").facts["published"]["label_counts"]["43"]["all"]
    return Frequencies([labels for labels, _ in rows], patches / patches.sum(), list(counts.values()))


def draw_labels(rng: np.random.Generator, frequencies: Frequencies) -> list[int]:
    """Draws the 43-class indices of a patch.

    A 19-class set is drawn by its real share. Each of its classes becomes one of the 43-class ones that belong
    to it, by their real shares, now and then two. The eleven classes without a counterpart come on top.
    """
    sets, shares, counts = frequencies
    labels: set[int] = set()
    for label in sets[rng.choice(len(sets), p=shares)]:
        members = [index for index, target in FROM_43_TO_19.items() if target == label]
        weights = np.array([counts[index] for index in members], dtype=np.float64)
        drawn = 2 if len(members) > 1 and rng.random() < 0.06 else 1
        labels |= set(rng.choice(members, size=drawn, replace=False, p=weights / weights.sum()).tolist())
    for index in range(len(CLASSES_43)):
        if index not in FROM_43_TO_19 and rng.random() < counts[index] / ARCHIVE_PATCHES:
            labels.add(index)
    return sorted(labels)
