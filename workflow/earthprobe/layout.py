"""Names that the archives and the workflow agree on; importing this costs nothing."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SPLITS = ("train", "val", "test")
S1_FOLDER = "BigEarthNet-S1-v1.0"
"""The folder of Sentinel-1 patches that the published archive of BigEarthNet v1 unpacks to."""
FOLDERS = {
    "s1": {"simulated": S1_FOLDER, "bigearthnet-v1": S1_FOLDER, "reben": "BigEarthNet-S1"},
    "s2": {"bigearthnet-v1": "BigEarthNet-v1.0", "reben": "BigEarthNet-S2"},
}
"""The same of each sensor and each kind of archive."""

TARS = {
    "s1": {"bigearthnet-v1": "BigEarthNet-S1-v1.0.tar.gz", "reben": "BigEarthNet-S1.tar.zst"},
    "s2": {"bigearthnet-v1": "BigEarthNet-S2-v1.0.tar.gz", "reben": "BigEarthNet-S2.tar.zst"},
}
"""What they are published as."""

NO_S2 = "has no Sentinel-2 patch in the archive"
"""Why a patch of which a part of the archive holds Sentinel-1 only is left out."""

LICENCE = "CDLA-Permissive-1.0"
"""Of BigEarthNet v1 and reBEN."""
PUBLISHED_WEIGHTS = ("DOFA_MAE",)
"""Members of torchgeo's enums."""
WEIGHTS_LICENCE = "CC-BY-4.0"
"""Of DOFA's published weights."""

MIRRORS = "EARTHPROBE_MIRRORS"
"""The variable of the environment that holds a JSON list of folders to download from first."""

METADATA = "metadata.parquet"
SNOW_AND_CLOUDS = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
"""The tables of reBEN's labels and splits, as published."""

TAR = r"\.tar(?:\.gz|\.zst)?|\.tgz"
PART = re.compile(rf"(.+(?:{TAR}))\.?(?:[a-f][a-z](?<!bz)|part\d+|\d{{2,3}})")
"""How the parts of a tar archive are named that was cut by ``split``: x.tar.gzaa, x.tar.gz.ab, x.tar.part1."""


def s2_folder(s2_id: str, s1_folder: str) -> str:
    """Where the Sentinel-2 files of a patch lie, below the archive's folder of them.

    Args:
        s2_id: the name of the Sentinel-2 patch.
        s1_folder: where the Sentinel-1 files lie, which tells whether patches are gathered by scene, as in reBEN.
    """
    return f"{s2_id.rsplit('_', 2)[0]}/{s2_id}" if "/" in s1_folder else s2_id


class Tar(NamedTuple):
    """A tar archive of a sensor's patches, its parts in their order."""

    sensor: str
    files: Sequence[Path]


def tar_name(file: Path) -> str | None:
    """The name of the tar archive that a file is, or is a part of; None where it is neither."""
    if re.search(rf"(?:{TAR})$", file.name):
        return file.name
    part = PART.fullmatch(file.name)
    return part[1] if part else None


def is_plain(files: Sequence[Path]) -> bool:
    """Whether the members of a tar archive can be read where they lie: it is one file, and not compressed."""
    return len(files) == 1 and files[0].name.endswith(".tar")
