"""Tar archives for tests, packed as the published ones are."""

import gzip
import random
import tarfile
from pathlib import Path

import pyarrow as pa


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
