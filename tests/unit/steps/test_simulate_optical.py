import json
from pathlib import Path

import pytest
import rasterio
import tifffile
from earthprobe import registry
from earthprobe.archives.grid import corners
from earthprobe.errors import UserError
from earthprobe.sensors import BANDS, bands_of
from earthprobe.steps import simulate, simulate_optical
from earthprobe.storage.files import sha256
from torchgeo.datasets import BigEarthNet

LABEL_SETS = registry.PACKAGE / "resources/label_set_counts.csv"
S2 = bands_of("s2")


def lists(root: Path) -> list[Path]:
    return [root / f"bigearthnet-{split}.csv" for split in ("train", "val", "test")]


def draw(root: Path, seed: int = 3, threads: int = 1) -> Path:
    simulate.run(patches=25, seed=seed, label_sets=LABEL_SETS, root=root)
    folder = root / "BigEarthNet-v1.0"
    simulate_optical.run(lists=lists(root), seed=seed, label_sets=LABEL_SETS, threads=threads, folder=folder)
    return root


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("simulated"))


def test_torchgeo_reads_both_sensors(archive: Path):
    sizes = {}
    for split in ("train", "val", "test"):
        dataset = BigEarthNet(str(archive), split=split, bands="all", num_classes=43)
        sizes[split] = len(dataset)
        for sample in dataset:
            assert sample["image"].shape == (14, 120, 120)
            assert sample["label"].sum() >= 1
    assert sizes == {"train": 13, "val": 6, "test": 6}


def test_files_are_like_the_original_ones(archive: Path, v1_sample: Path):
    def layout(path: Path) -> dict[str, object]:
        with tifffile.TiffFile(path) as tiff, rasterio.open(path) as image:
            tags = tiff.pages.first.tags
            names = ("ImageWidth", "ImageLength", "BitsPerSample", "Compression", "SampleFormat", "RowsPerStrip")
            return {name: tags[name].value for name in names} | {
                "strips": len(tags["StripOffsets"].value),
                "pixel": (image.transform.a, image.transform.e),
                "utm": image.crs.to_epsg() // 100,
                "nodata": image.nodata,
            }

    original = next((v1_sample / "BigEarthNet-v1.0").iterdir())
    ours = next((archive / "BigEarthNet-v1.0").iterdir())
    for band in S2:
        assert layout(ours / f"{ours.name}_{band}.tif") == layout(original / f"{original.name}_{band}.tif")
    said, theirs = (json.loads((path / f"{path.name}_labels_metadata.json").read_text()) for path in (ours, original))
    assert said.keys() == theirs.keys()
    assert said["coordinates"].keys() == theirs["coordinates"].keys()


def test_the_two_sensors_say_the_same_of_a_patch(archive: Path):
    pairs = [line.split(",") for path in lists(archive) for line in path.read_text().splitlines()]
    assert len(pairs) == 25
    assert sorted(pair[0] for pair in pairs) == sorted(path.name for path in (archive / "BigEarthNet-v1.0").iterdir())
    for s2_name, s1_name in pairs:
        optical, radar = archive / "BigEarthNet-v1.0" / s2_name, archive / "BigEarthNet-S1-v1.0" / s1_name
        theirs = json.loads((radar / f"{s1_name}_labels_metadata.json").read_text())
        ours = json.loads((optical / f"{s2_name}_labels_metadata.json").read_text())
        assert ours["labels"] == theirs["labels"]
        assert theirs["corresponding_s2_patch"] == s2_name
        assert ours["acquisition_date"] == theirs["acquisition_time"].replace("T", " ")
        for band in ("B02", "B09"):
            with rasterio.open(optical / f"{s2_name}_{band}.tif") as image:
                assert [image.bounds.left, image.bounds.top] == corners([s1_name])[0].tolist()
                assert image.bounds.right - image.bounds.left == 1200
                assert image.read(1).shape == (BANDS[band].size,) * 2


def test_it_depends_on_the_seed_alone(archive: Path, tmp_path: Path):
    def content(root: Path) -> dict[str, str]:
        return {str(p.relative_to(root)): sha256(p) for p in sorted(root.rglob("*")) if p.is_file()}

    assert content(draw(tmp_path / "again", threads=3)) == content(archive)
    other = draw(tmp_path / "other", seed=4)
    assert content(other).keys() != content(archive).keys()


def test_it_does_not_mix_with_what_is_there(archive: Path):
    with pytest.raises(UserError, match="is not empty"):
        simulate_optical.run(lists=lists(archive), label_sets=LABEL_SETS, folder=archive / "BigEarthNet-v1.0")


def test_names_of_others_are_refused(tmp_path: Path):
    (tmp_path / "list.csv").write_text("S2A_MSIL2A_20170613T101031_1_2,S1A_mine\n")
    with pytest.raises(UserError, match=r"S1A_mine is no name that `earthprobe simulate` gave$"):
        simulate_optical.run(lists=[tmp_path / "list.csv"], label_sets=LABEL_SETS, folder=tmp_path / "s2")
