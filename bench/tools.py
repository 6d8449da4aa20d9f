"""What the benchmarks measure with, and the inputs that they share."""

import multiprocessing
import os
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from earthprobe import registry
from earthprobe.archives.interface import SPLITS
from earthprobe.progress import peak_memory

REPOSITORY = Path(__file__).parents[1]
DATA = REPOSITORY.parent / "shared" / "data"
WORK = Path("results/bench/work")
CORES = os.cpu_count() or 1
BASE = "dofa_base_patch16_224"
DIMENSIONS = 768
FOLDERS = registry.kind("archives", "bigearthnet-v1").facts["folders"]
"""The folder of each sensor's patches in the archive of BigEarthNet v1."""
S1_FOLDER = FOLDERS["s1"]

BUSY = 0.15
"""The share of all cores that others may take before a row is worth little: ratios last of what is hurt less."""


@dataclass
class Row:
    """A measurement.

    Attributes:
        ours: what earthprobe reaches.
        other: what the other way reaches.
        unit: of ours, other and limit.
        limit: what this machine allows, or the goal.
        less_is_better: of times and memory.
        ratios: how many times better ours was, pair by pair, where both were taken in turns.
    """

    ours: float | str
    other: float | None
    unit: str
    limit: float | None = None
    less_is_better: bool = False
    ratios: Sequence[float] = ()

    def columns(self, name: str) -> dict[str, object]:
        """The row of the table; a ratio above 1 says that ours is better."""
        ratio = share = None
        if not isinstance(self.ours, str):
            ratio = median(self.ratios) if self.ratios else self._better(self.ours, self.other)
            share = self._better(self.ours, self.limit)
        ends = f"{min(self.ratios):.3g} to {max(self.ratios):.3g}" if len(self.ratios) > 1 else None
        found = {"name": name, "ours": self.ours, "other": self.other, "unit": self.unit, "limit": self.limit}
        return {**found, "ratio": ratio, "ratios": ends, "share_of_limit": share}

    def _better(self, ours: float, than: float | None) -> float | None:
        if than is None:
            return None
        return than / ours if self.less_is_better else ours / than


Timed = tuple[float, Any]


def timed(function: Callable[[], Any]) -> Timed:
    """Seconds and the result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


class Pairs:
    """Two ways, taken in turns, so that a machine which others use slows both.

    Attributes:
        ours: seconds of ours, turn by turn.
        other: seconds of the other way.
        result: what ours returned last.
        expected: what the other way returned last.
    """

    def __init__(self, ours: Callable[[], Any], other: Callable[[], Any], repeats: int = 3) -> None:
        self.ours: list[float] = []
        self.other: list[float] = []
        for _ in range(repeats):
            seconds, self.result = timed(ours)
            self.ours.append(seconds)
            seconds, self.expected = timed(other)
            self.other.append(seconds)

    @property
    def ratios(self) -> list[float]:
        """How many times faster ours was, turn by turn."""
        return [other / ours for ours, other in zip(self.ours, self.other, strict=True)]

    def rate(self, count: float, unit: str, limit: float | None = None, *, count_of_other: float | None = None) -> Row:
        """A row of things a second, by the medians; ``limit`` is a rate, too."""
        each = (count if count_of_other is None else count_of_other) / count
        ratios = [ratio / each for ratio in self.ratios]
        return Row(count / median(self.ours), each * count / median(self.other), unit, limit, ratios=ratios)

    def seconds(self, limit: float | None = None) -> Row:
        """A row of seconds."""
        return Row(median(self.ours), median(self.other), "s", limit, less_is_better=True, ratios=self.ratios)


class Load:
    """What others do on the machine while a row is measured."""

    def __init__(self) -> None:
        self.start = self._now()

    def _now(self) -> tuple[float, float, float]:
        """Seconds: by the clock, of all processors at work, and of what was started here and has ended."""
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, _, _, irq, softirq, steal = fields
        mine = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, mine.ru_utime + mine.ru_stime

    def others(self) -> float:
        """The share of all cores that others took since this was made."""
        clock, busy, mine = (now - then for now, then in zip(self._now(), self.start, strict=True))
        return max(0.0, busy - mine) / (clock * (os.cpu_count() or 1))

    def said(self) -> str:
        """The share in percent, and whether the row is worth little."""
        share = self.others()
        return f"{100 * share:.0f} %{': too much' if share > BUSY else ''}"


def peak_mib(function: Callable[..., Any], *arguments: object) -> tuple[float, Any]:
    """The peak memory of a function in a process of its own, and its result."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_run_and_say, function, arguments).result()


def _run_and_say(function: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[float, Any]:
    result = function(*arguments)
    return peak_memory(), result


def archive(patches: int = 1024) -> Path:
    """A simulated archive, its index and one shard; made once."""
    from earthprobe.steps import index_patches, shard_statistics, simulate

    root = WORK / f"archive-{patches}"
    if not (root / "statistics.json").exists():
        simulate.run(patches=patches, seed=0, label_sets=registry.PACKAGE / "resources/label_set_counts.csv", root=root)
        index_patches.run(
            kind="bigearthnet-v1",
            files=[root / S1_FOLDER],
            lists=[root / f"bigearthnet-{split}.csv" for split in SPLITS],
            shards=1,
            archive="bench",
            simulated=True,
            output=root / "patches.parquet",
            mismatches=root / "mismatches.csv",
        )
        write_shard(root, "shard.parquet")
        shard_statistics.run(
            patches=root / "patches.parquet",
            shards=[root / "shard.parquet"],
            max_rejected=0,
            output=root / "statistics.json",
            rejected=root / "rejected.csv",
        )
    return root


def write_shard(root: Path, name: str) -> None:
    """Writes the one shard of an archive's Sentinel-1 beside it."""
    from earthprobe.steps import shard

    patches = root / "patches.parquet"
    shard.run(patches=patches, sensor="s1", source=[root / S1_FOLDER], shard=0, output=root / name)


def optical() -> Path:
    """The folder of what Sentinel-2 sees of the same patches."""
    from earthprobe.steps import simulate_optical

    root = archive()
    folder = root / FOLDERS["s2"]
    if not folder.exists():
        part = folder.with_name("part")
        shutil.rmtree(part, ignore_errors=True)
        lists = [root / f"bigearthnet-{split}.csv" for split in SPLITS]
        simulate_optical.run(lists=lists, label_sets=registry.PACKAGE / "resources/label_set_counts.csv", folder=part)
        part.rename(folder)
    return folder


def weights() -> Path:
    """Random weights of DOFA base."""
    from earthprobe.steps import embed_weights

    path = WORK / "weights.safetensors"
    if not path.exists():
        embed_weights.run(kind="dofa", model=BASE, weights="random:0", output=path)
    return path


def probe_data(train: int, classes: int) -> Any:
    """Synthetic features whose classes overlap: train, and half as many for val and test."""
    from earthprobe.probes.interface import Data, Part

    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(DIMENSIONS, DIMENSIONS)))[0] * (np.arange(1, DIMENSIONS + 1) ** -0.5)[:, None]
    centres = rng.normal(0, 0.06, (classes, DIMENSIONS))
    frequency = np.geomspace(0.4, 0.005, classes)
    parts = {}
    for split, count in (("train", train), ("val", train // 2), ("test", train // 2)):
        targets = rng.random((count, classes)) < frequency
        features = ((rng.normal(size=(count, DIMENSIONS)) + targets @ centres) @ basis).astype(np.float32)
        parts[split] = Part([f"{split}{i}" for i in range(count)], features, targets)
    mean, std = parts["train"].features.mean(axis=0), parts["train"].features.std(axis=0)
    for part in parts.values():
        part.features = (part.features - mean) / std
    return Data(parts, mean, std)
