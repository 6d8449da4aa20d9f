"""What all tests share: where the real data lie, and small archives."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from earthprobe.sensors import BANDS, bands_of
from earthprobe.storage.tiff import Plane, decode_band

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"
V1_SAMPLE = SHARED / "bigearthnet-v1-sample"


def needs(path: Path) -> Path:
    """The path, or a skip that names it."""
    if not path.exists():
        pytest.skip(f"REAL DATA ABSENT: {path.name} is not in {SHARED}")
    return path


@pytest.fixture(scope="session")
def v1_sample() -> Path:
    """129 real patches of BigEarthNet v1."""
    return needs(V1_SAMPLE)


@pytest.fixture(scope="session")
def v1_patches(v1_sample: Path) -> list[Path]:
    """The folders of the real patches, by name."""
    return sorted((v1_sample / "BigEarthNet-S1-v1.0").iterdir())


Pixels = npt.NDArray[np.float32]


def read_band(path: Path) -> Plane:
    """A band of a patch, from its file."""
    band = BANDS[path.stem.rpartition("_")[2]]
    return decode_band(path.read_bytes(), path.name, band.size, band.dtype)


class TinyArchive:
    """A folder in the v1 layout with random pixels, for tests of what happens to odd ones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.s1_folder = root / "BigEarthNet-S1-v1.0"
        self.s1_folder.mkdir(parents=True)
        self.splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}

    def add(
        self,
        split: str | None,
        labels: object = ("Pastures",),
        vv: Pixels | None = None,
        vh: Pixels | None = None,
    ) -> str:
        """Adds a patch and returns its id."""
        number = sum(1 for _ in self.s1_folder.iterdir())
        rng = np.random.default_rng(number)
        name = f"S1A_IW_GRDH_1SDV_20170613T165043_33UUP_{number}_39"
        folder = self.s1_folder / name
        folder.mkdir()
        base = rng.normal(-12, 3, (120, 120)).astype(np.float32)
        tifffile.imwrite(folder / f"{name}_VV.tif", base if vv is None else vv)
        tifffile.imwrite(folder / f"{name}_VH.tif", base - 7 if vh is None else vh)
        (folder / f"{name}_labels_metadata.json").write_text(json.dumps({"labels": labels}))
        if split:
            self.splits[split].append(name)
        return name

    @staticmethod
    def s2_name(patch_id: str) -> str:
        """The name of the Sentinel-2 patch of a patch."""
        return f"S2A_MSIL2A_20170613T101031_{patch_id.split('_')[-2]}_39"

    def add_optical(self) -> Path:
        """Adds Sentinel-2 to all patches, and returns the folder."""
        rng = np.random.default_rng(0)
        folder = self.root / "BigEarthNet-v1.0"
        for patch in self.s1_folder.iterdir():
            name = self.s2_name(patch.name)
            (folder / name).mkdir(parents=True)
            for band in bands_of("s2"):
                pixels = rng.integers(0, 10_000, [BANDS[band].size] * 2, dtype=np.uint16)
                tifffile.imwrite(folder / name / f"{name}_{band}.tif", pixels)
        return folder

    def split_files(self) -> dict[str, Path]:
        """Writes the split files."""
        paths = {}
        for split, names in self.splits.items():
            paths[split] = self.root / f"bigearthnet-{split}.csv"
            lines = [f"{self.s2_name(name)},{name}\r\n" for name in names]
            paths[split].write_bytes("".join(lines).encode())
        return paths


@pytest.fixture
def tiny(tmp_path: Path) -> TinyArchive:
    """An archive without a patch."""
    return TinyArchive(tmp_path / "archive")


@pytest.fixture
def twelve(tiny: TinyArchive) -> TinyArchive:
    """An archive with 6 train, 3 val and 3 test patches."""
    for split, count in (("train", 6), ("val", 3), ("test", 3)):
        for _ in range(count):
            tiny.add(split)
    return tiny


Indexer = Callable[..., Path]


def index_folder(s1_folder: Path, split_files: dict[str, Path], out: Path, shards: int, archive: str) -> Path:
    """Lists the patches of a folder of BigEarthNet v1 and returns the path of ``patches.parquet``."""
    from earthprobe.steps import index_patches

    index_patches.run(
        kind="bigearthnet-v1",
        files=[s1_folder],
        lists=[split_files[split] for split in ("train", "val", "test")],
        shards=shards,
        archive=archive,
        output=out / "patches.parquet",
        mismatches=out / "split_mismatches.csv",
    )
    return out / "patches.parquet"


def index_real(v1_sample: Path, out: Path, shards: int) -> Path:
    """Lists the real patches and returns the path of ``patches.parquet``."""
    files = {split: v1_sample / f"bigearthnet-{split}.csv" for split in ("train", "val", "test")}
    return index_folder(v1_sample / "BigEarthNet-S1-v1.0", files, out, shards, "sample")


@pytest.fixture
def patches_of(tmp_path: Path) -> Indexer:
    """Lists a tiny archive and returns the path of ``patches.parquet``."""

    def run(archive: TinyArchive, shards: int = 2) -> Path:
        return index_folder(archive.s1_folder, archive.split_files(), tmp_path, shards, "tiny")

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        if "CI" in os.environ:
            pytest.fail("no disk can be mounted")
        pytest.skip("DISK ABSENT: only root can mount a small one")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def shallow_dofa() -> Iterator[None]:
    """DOFA base with two of its twelve blocks: for tests of what is done with a model, not of the model."""
    from earthprobe.models import dofa
    from torchgeo.models import DOFA

    name = "dofa_base_patch16_224"
    shallow = partial(DOFA, patch_size=16, embed_dim=768, depth=2, num_heads=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dofa.ARCHITECTURES, name, dofa.ARCHITECTURES[name]._replace(build=shallow))
        yield
