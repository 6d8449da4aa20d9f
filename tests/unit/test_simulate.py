from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import rasterio
import tifffile
from earthprobe.errors import UserError
from earthprobe.label_matrix import label_matrix
from earthprobe.labels import FROM_43_TO_19, indices_19
from earthprobe.simulate import COVERS, _read_label_sets, draw_labels, draw_pixels, simulate
from torchgeo.datasets import BigEarthNet

from tests.conftest import REPOSITORY, SHARED, needs, read_band

LABEL_SETS = REPOSITORY / "resources/label_set_counts.csv"


def figures(patches: npt.NDArray[np.float64]) -> dict[str, float]:
    """What the simulation is calibrated on, of patches in dB of shape (patches, 2, 120, 120)."""
    means = patches.mean(axis=(2, 3))
    inner = patches - means[:, :, None, None]
    difference = patches[:, 0] - patches[:, 1]
    result = {
        "VV-VH mean": difference.mean(),
        "VV-VH std": difference.std(),
        "VV-VH std of patch means": difference.mean(axis=(1, 2)).std(),
        "VV-VH correlation of patch means": np.corrcoef(means.T)[0, 1],
    }
    for i, band in enumerate(("VV", "VH")):
        result[f"{band} mean"] = patches[:, i].mean()
        result[f"{band} std"] = patches[:, i].std()
        result[f"{band} std within a patch"] = np.sqrt(patches[:, i].var(axis=(1, 2)).mean())
        for lag in (1, 2, 5, 20):
            products = (inner[:, i, :, lag:] * inner[:, i, :, :-lag]).mean()
            result[f"{band} autocorrelation at {lag} px"] = products / (inner[:, i] ** 2).mean()
    return {name: float(value) for name, value in result.items()}


def test_backscatter_is_like_that_of_real_patches(v1_patches: list[Path], capsys: pytest.CaptureFixture[str]):
    real = figures(
        np.array([[read_band(p / f"{p.name}_{b}.tif") for b in ("VV", "VH")] for p in v1_patches], dtype=np.float64)
    )
    sets, shares = _read_label_sets(LABEL_SETS)
    drawn = []
    for number in range(300):
        rng = np.random.default_rng([0, 1, number])
        drawn.append(draw_pixels(rng, draw_labels(rng, sets, shares)))
    simulated = figures(np.array(drawn, dtype=np.float64))
    with capsys.disabled():
        print(f"\n{'129 real patches and 300 simulated ones':40} {'real':>8} {'simulated':>10}")
        for name, value in real.items():
            print(f"{name:40} {value:8.2f} {simulated[name]:10.2f}")
    for name, value in real.items():
        # Half a dB or a tenth of a correlation: the sample's own standard errors are about as large.
        tolerance = 0.1 if "correlation" in name else 0.75 if name.endswith(" mean") else 0.5
        assert simulated[name] == pytest.approx(value, abs=tolerance), name
    # The whole archive's published figures (bigearthnet_common's constants).
    assert simulated["VV mean"] == pytest.approx(-12.62, abs=0.6)
    assert simulated["VH mean"] == pytest.approx(-19.29, abs=0.6)


def matrix(labels: list[list[int]], classes: int) -> npt.NDArray[np.bool_]:
    return label_matrix(pl.Series(labels, dtype=pl.List(pl.UInt8)), classes)


def test_labels_have_real_frequencies():
    metadata = needs(SHARED / "reben-metadata/metadata.parquet")
    names = pl.read_parquet(metadata, columns=["labels"])["labels"]
    real = names.explode(empty_as_null=False).value_counts()
    share = {name: count / len(names) for name, count in real.iter_rows()}
    sets, shares = _read_label_sets(LABEL_SETS)
    rng = np.random.default_rng(0)
    drawn = [draw_labels(rng, sets, shares) for _ in range(20_000)]
    ours = matrix([indices_19(labels) for labels in drawn], 19).mean(axis=0)
    for name, value in zip(BigEarthNet.class_sets[19], ours, strict=True):
        assert value == pytest.approx(share[name], rel=0.15, abs=0.002), name
    assert ours.min() < 0.005  # rare classes are rare
    counts = matrix(drawn, 43).sum(axis=0)
    # Known from the paper: these are among the most and the least frequent of the 43.
    assert {22, 23, 24, 11, 28} == set(np.argsort(counts)[-5:].tolist())
    assert counts[32] < 40


def test_covers_are_those_of_the_43_classes():
    assert len(COVERS) == 43
    # FACTS of the paper's table 2, by class index.
    assert [COVERS[i].patches for i in (24, 23, 11, 28, 22, 36, 32)] == [
        217_119,
        211_703,
        196_695,
        173_506,
        150_944,
        424,
        328,
    ]
    for index, cover in enumerate(COVERS):
        assert cover.vv > cover.vh, index
    assert set(FROM_43_TO_19) < set(range(43))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simulated")
    simulate(25, 3, LABEL_SETS, root)
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

    simulate(25, 3, LABEL_SETS, tmp_path / "again")
    assert content(tmp_path / "again") == content(archive)
    simulate(25, 4, LABEL_SETS, tmp_path / "other")
    assert content(tmp_path / "other").keys() != content(archive).keys()


def test_it_does_not_mix_with_what_is_there(archive: Path):
    with pytest.raises(UserError, match="is not empty"):
        simulate(25, 3, LABEL_SETS, archive)
