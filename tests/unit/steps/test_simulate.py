from pathlib import Path

import pytest
import rasterio
import tifffile
from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.steps import simulate
from torchgeo.datasets import BigEarthNet

from tests.conftest import read_band

LABEL_SETS = registry.PACKAGE / "resources/label_set_counts.csv"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simulated")
    simulate.run(patches=25, seed=3, label_sets=LABEL_SETS, root=root)
    return root


def test_torchgeo_reads_it(archive: Path):
    sizes = {}
    for split in ("train", "val", "test"):
        dataset = BigEarthNet(str(archive), split=split, bands="s1", num_classes=43)
        sizes[split] = len(dataset)
        for sample in dataset:
            assert sample["image"].shape == (2, 120, 120)
            assert sample["label"].sum() >= 1
    assert sizes == {"train": 13, "val": 6, "test": 6}


def test_files_are_like_the_original_ones(archive: Path, v1_patches: list[Path]):
    def layout(path: Path) -> dict:
        with tifffile.TiffFile(path) as tiff, rasterio.open(path) as image:
            tags = tiff.pages[0].tags
            names = ("ImageWidth", "ImageLength", "BitsPerSample", "Compression", "SampleFormat", "RowsPerStrip")
            return {name: tags[name].value for name in names} | {
                "strips": len(tags["StripOffsets"].value),
                "pixel": (image.transform.a, image.transform.e),
                "utm": image.crs.to_epsg() // 100,
            }

    original = next(p for p in v1_patches if rasterio.open(p / f"{p.name}_VV.tif").crs)
    ours = next((archive / "BigEarthNet-S1-v1.0").iterdir())
    assert layout(ours / f"{ours.name}_VV.tif") == layout(original / f"{original.name}_VV.tif")
    assert (archive / "bigearthnet-train.csv").read_bytes().count(b"\r\n") == 13


def test_bands_are_in_their_own_files(archive: Path):
    for patch in (archive / "BigEarthNet-S1-v1.0").iterdir():
        vv, vh = (read_band(patch / f"{patch.name}_{band}.tif").mean() for band in ("VV", "VH"))
        assert vv > vh


def test_it_depends_on_the_seed_alone(archive: Path, tmp_path: Path):
    def content(root: Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    simulate.run(patches=25, seed=3, label_sets=LABEL_SETS, threads=3, root=tmp_path / "again")
    assert content(tmp_path / "again") == content(archive)
    simulate.run(patches=25, seed=4, label_sets=LABEL_SETS, root=tmp_path / "other")
    assert content(tmp_path / "other").keys() != content(archive).keys()


def test_it_is_what_it_was(archive: Path):
    """A seed gives the patches that it gave in the first version, which knew Sentinel-1 alone."""
    first = min((archive / "BigEarthNet-S1-v1.0").iterdir())
    assert first.name == "S1A_IW_GRDH_1SDV_20170813T084400_33UUP_77_22"
    assert read_band(first / f"{first.name}_VV.tif").mean(dtype="float64") == pytest.approx(-12.740284, abs=1e-4)


def test_it_does_not_mix_with_what_is_there(archive: Path):
    with pytest.raises(UserError, match="is not empty"):
        simulate.run(patches=25, seed=3, label_sets=LABEL_SETS, root=archive)


def test_label_sets_are_needed(tmp_path: Path):
    (tmp_path / "sets.csv").write_text("label_set,patches\n")
    with pytest.raises(UserError, match=r"sets.csv holds no label set$"):
        simulate.run(patches=25, label_sets=tmp_path / "sets.csv", root=tmp_path / "archive")
