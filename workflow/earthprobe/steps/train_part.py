"""Grow some trees of a forest, so that several jobs grow it together."""

from pathlib import Path

from earthprobe import registry
from earthprobe.config import entry_of
from earthprobe.errors import UserError
from earthprobe.probes.data import load
from earthprobe.probes.forest import share_of, write_part
from earthprobe.storage.files import replacing
from earthprobe.storage.label_matrix import classes_of
from earthprobe.storage.parquet import read_metadata

NOT_OF_TREES = ("kind", "scale", "seeds", "jobs", "n_estimators")


def run(
    *,
    probe: str,
    features: Path,
    index: Path,
    label_set: str,
    part: int,
    parts: int,
    threads: int = 1,
    buffer: float = 0,
    output: Path,
) -> None:
    """Grows some trees, which ``train --parts`` puts together with those of the other jobs.

    Args:
        probe: JSON of the probe, a forest: its ``kind``, and its hyper-parameters where they are not the defaults.
        features: the merged embeddings.
        index: ``index.parquet``, for splits and labels.
        label_set: the name of the label set.
        part: which of the jobs this is, from 0.
        parts: how many there are.
        threads: CPU threads.
        buffer: train patches this near to a test patch, in cells of 1.2 km, are left out.
        output: the trees, and where val and test come to in them.

    Raises:
        UserError: there is no such part, no such label set, or the probe is no forest.
    """
    if not 0 <= part < parts:
        raise UserError(f"--part {part}: of {parts} parts, the first is 0 and the last {parts - 1}")
    entry = entry_of("probes", probe, "--probe")
    module = registry.load("probes", entry["kind"])
    if not hasattr(module, "trees"):
        raise UserError(f"--probe: a probe of kind {entry['kind']} has no trees")
    options = {key: value for key, value in entry.items() if key not in NOT_OF_TREES}
    classes = classes_of(index, label_set)
    task, scale = read_metadata(index)["tasks"][label_set], entry.get("scale", True)
    numbers = share_of(entry["n_estimators"], part, parts)
    with replacing(output) as written:
        data = load(features, index, label_set, len(classes), task, scale, buffer)
        write_part(written, module.trees(data, threads=threads, numbers=numbers, **options))
