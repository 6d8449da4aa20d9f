"""Find the weights of a model that takes them from the train split."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import safetensors.torch

from earthprobe import registry
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.models.assemble import inputs_of
from earthprobe.models.interface import Floats, Samples
from earthprobe.models.options import options_of
from earthprobe.storage.files import replacing
from earthprobe.storage.pixels import read_patches, resample, size_of

log = logging.getLogger(__name__)


def run(*, model: str, shards: Sequence[Path], statistics: Sequence[Path], patches: Path, output: Path) -> None:
    """Writes what a model keeps of the train split.

    Args:
        model: JSON of the feature set: ``kind``, ``bands`` and the options of its kind.
        shards: all shards of all sensors that the model sees.
        statistics: of the same sensors, each band's mean and deviation over the train split.
        patches: ``patches.parquet``.
        output: the safetensors file.

    Raises:
        UserError: no train patch can be read.
    """
    entry = entry_of("models", model, "--model")
    inputs = inputs_of(entry, statistics)
    fitted = registry.load("models", entry["kind"]).fit(
        samples_of(shards, entry["bands"], patches), inputs, **options_of(entry)
    )
    metadata = {"model": "", "weights": "train split", "file": "", "sha256": ""}
    with replacing(output) as part:
        part.write_bytes(safetensors.torch.save({k: v.contiguous() for k, v in fitted.items()}, metadata))
    log.info("%s: %s", entry["kind"], json.dumps({key: list(value.shape) for key, value in fitted.items()}))


def samples_of(shards: Sequence[Path], bands: Sequence[str], patches: Path) -> Samples:
    """A function that draws patches of the train split; each comes once before one comes twice."""
    train = pl.read_parquet(patches, columns=["patch_id", "split", "shard"]).filter(pl.col("split") == "train")

    def draw(count: int, seed: int) -> Floats:
        order = np.random.default_rng(seed).permutation(train.height)
        found: list[Floats] = []
        # Some that were rejected are no longer there, so a few more are looked up.
        for start in range(0, train.height, 2 * count):
            chosen = train[order[start : start + 2 * count]]
            found += _planes(shards, bands, chosen)
            if len(found) >= count:
                break
        if not found:
            raise UserError(f"{shards[0]} and the others hold no patch of the train split")
        return np.stack([found[i % len(found)] for i in range(count)])

    return draw


def _planes(shards: Sequence[Path], bands: Sequence[str], chosen: pl.DataFrame) -> list[Floats]:
    """The pixels of patches, in the order of ``chosen``, without those that a sensor lacks."""
    held: dict[str, dict[str, Floats]] = {}
    for (number,), rows in chosen.group_by("shard"):
        wanted = set(rows["patch_id"])
        for path in shards:
            if int(path.stem) == number:
                for patch_id, planes in read_patches(path, wanted).items():
                    held.setdefault(patch_id, {}).update(planes)
    whole = [held[patch_id] for patch_id in chosen["patch_id"] if set(bands) <= held.get(patch_id, {}).keys()]
    size = size_of(shards)
    return [
        np.concatenate([resample(planes[band][None], size) for band in bands]).astype(np.float32) for planes in whole
    ]
