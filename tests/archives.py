"""Tar archives for tests, packed as the published ones are."""

import gzip
import random
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
from earthprobe.archives.interface import SPLITS


def pack(folder: Path, target: Path, seed: int | None = 0, form: int = tarfile.GNU_FORMAT, top: str = "") -> Path:
    """Packs a folder, its members in the order of a seed, compressed as the name of ``target`` says."""
    members = sorted(folder.rglob("*"))
    if seed is not None:
        random.Random(seed).shuffle(members)
    plain = target.parent / f"{target.name}.plain"
    with tarfile.open(plain, "w", format=form) as archive:
        for path in members:
            archive.add(path, f"{top or folder.name}/{path.relative_to(folder)}", recursive=False)
    return compress(plain, target)


def compress(plain: Path, target: Path) -> Path:
    """Turns a tar file into ``target``, compressed as its name says."""
    content = plain.read_bytes()
    plain.unlink()
    if target.name.endswith("gz"):
        target.write_bytes(gzip.compress(content, 1))
    elif target.name.endswith(".zst"):
        with pa.CompressedOutputStream(str(target), "zstd") as stream:
            stream.write(content)
    else:
        target.write_bytes(content)
    return target


def both_sensors(sample: Path, root: Path) -> dict[str, str]:
    """Gathers the real v1 patches that have both sensors, with splits drawn anew: 4 train, 1 val and 1 test.

    Returns:
        The S1 patches' names, and of each its S2 patch.
    """
    lines = [line for split in SPLITS for line in (sample / f"bigearthnet-{split}.csv").read_text().splitlines()]
    pairs = dict(sorted(tuple(reversed(line.split(","))) for line in lines))
    s1, s2 = "BigEarthNet-S1-v1.0", "BigEarthNet-v1.0"
    found = {name: optical for name, optical in pairs.items() if (sample / s2 / optical).is_dir()}
    for name, optical in found.items():
        shutil.copytree(sample / s1 / name, root / s1 / name)
        shutil.copytree(sample / s2 / optical, root / s2 / optical)
    drawn = [f"{optical},{name}\n" for name, optical in found.items()]
    for split, part in zip(SPLITS, (drawn[:-2], drawn[-2:-1], drawn[-1:]), strict=True):
        (root / f"bigearthnet-{split}.csv").write_text("".join(part))
    return found
