"""fetch: downloads a published file of an archive."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from earthprobe.download import download


class Published(NamedTuple):
    """A file of a published archive."""

    url: str
    md5: str


V1 = "https://zenodo.org/records/12687186/files/{}"
REBEN = "https://zenodo.org/records/10891137/files/{}"
SPLITS = "https://git.tu-berlin.de/rsim/BigEarthNet-MM_19-classes_models/-/raw/9a5be07346ab0884b2d9517475c27ef9db9b5104/splits/{}"
"""Where torchgeo (BigEarthNet.splits_metadata) has the split files from."""

FILES = {
    "BigEarthNet-S1-v1.0.tar.gz": Published(
        V1.format("BigEarthNet-S1-v1.0.tar.gz"), "94ced73440dea8c7b9645ee738c5a172"
    ),
    "BigEarthNet-S2-v1.0.tar.gz": Published(
        V1.format("BigEarthNet-S2-v1.0.tar.gz"), "5a64e9ce38deb036a435a7b59494924c"
    ),
    "bigearthnet-train.csv": Published(SPLITS.format("train.csv"), "623e501b38ab7b12fe44f0083c00986d"),
    "bigearthnet-val.csv": Published(SPLITS.format("val.csv"), "22efe8ed9cbd71fa10742ff7df2b7978"),
    "bigearthnet-test.csv": Published(SPLITS.format("test.csv"), "697fb90677e30571b9ac7699b7e5b432"),
    "BigEarthNet-S1.tar.zst": Published(REBEN.format("BigEarthNet-S1.tar.zst"), "a55eaa2cdf6a917e296bd6601ec1e348"),
    "BigEarthNet-S2.tar.zst": Published(REBEN.format("BigEarthNet-S2.tar.zst"), "2245ed2d1a93f6ce637d839bc856396e"),
    "metadata.parquet": Published(REBEN.format("metadata.parquet"), "55687065e77b6d0b0f1ff604a6e7b49c"),
    "metadata_for_patches_with_snow_cloud_or_shadow.parquet": Published(
        REBEN.format("metadata_for_patches_with_snow_cloud_or_shadow.parquet"), "fe31856f4986d446c9468b59d6387c91"
    ),
}


def fetch(file: str, mirrors: Sequence[str], output: Path) -> None:
    """Downloads a file of a published archive.

    Args:
        file: its published name, one of :data:`FILES`.
        mirrors: addresses of folders that hold the file, too, and are tried first.
        output: where it goes, once its md5 is the published one.

    Raises:
        UserError: no source has it, it is damaged, or the disk has not enough room.
    """
    published = FILES[file]
    download([*(f"{mirror.rstrip('/')}/{file}" for mirror in mirrors), published.url], output, "md5", published.md5)
