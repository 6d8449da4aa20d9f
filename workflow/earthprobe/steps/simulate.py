"""Draw an archive in the format of BigEarthNet v1."""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from earthprobe import registry
from earthprobe.archives.interface import SPLITS
from earthprobe.archives.label_frequencies import Frequencies, draw_labels, read_frequencies
from earthprobe.archives.simulated import draw_pixels, write_patch
from earthprobe.errors import UserError
from earthprobe.storage.files import write_text

log = logging.getLogger(__name__)

SHARES = {"train": 0.52, "val": 0.24, "test": 0.24}
"""Of 519,284 patches of BigEarthNet v1, 269,695 are train, 123,723 val and 125,866 test."""


def run(*, patches: int, seed: int = 0, label_sets: Path, threads: int = 1, root: Path) -> None:
    """Writes the archive: one folder a patch with two TIFFs and a JSON file, and the three split files.

    Args:
        patches: how many patches to draw.
        seed: every patch depends on it and its own number alone.
        label_sets: CSV of 19-class label sets and how many patches have each.
        threads: CPU threads; the files do not depend on them.
        root: the archive's root.

    Raises:
        UserError: the folder already holds patches, which would mix with the new ones.
    """
    facts = registry.kind("archives", "bigearthnet-v1").facts
    folder = root / facts["folders"]["s1"]
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: delete it first")
    frequencies = read_frequencies(label_sets)
    order = np.random.default_rng([seed, 0]).permutation(patches)
    train_end = round(SHARES["train"] * patches)
    val_end = round((SHARES["train"] + SHARES["val"]) * patches)
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    with ThreadPoolExecutor(threads) as pool:
        names = pool.map(partial(_draw, seed=seed, frequencies=frequencies, folder=folder), range(patches))
        for number, (s1_name, s2_name) in enumerate(names):
            position = order[number]
            split = "train" if position < train_end else "val" if position < val_end else "test"
            lines[split].append(f"{s2_name},{s1_name}\r\n")
            if number % 500 == 499:
                log.info("%d of %d patches", number + 1, patches)
    for split, pairs in lines.items():
        write_text(root / f"bigearthnet-{split}.csv", "".join(pairs))


def _draw(number: int, seed: int, frequencies: Frequencies, folder: Path) -> tuple[str, str]:
    """Writes a patch, and returns its name and that of its Sentinel-2 patch."""
    rng = np.random.default_rng([seed, 1, number])
    labels = draw_labels(rng, frequencies)
    return write_patch(rng, number, labels, draw_pixels(rng, labels), folder)
