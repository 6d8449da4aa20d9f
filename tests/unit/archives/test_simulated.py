from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from earthprobe import registry
from earthprobe.archives.bigearthnet import CLASSES_43, FROM_43_TO_19, indices_19
from earthprobe.archives.label_frequencies import ARCHIVE_PATCHES, draw_labels, read_frequencies
from earthprobe.archives.simulated import COVERS, draw_pixels
from earthprobe.storage.label_matrix import label_matrix
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, needs, read_band

LABEL_SETS = registry.PACKAGE / "resources/label_set_counts.csv"
PUBLISHED = registry.kind("archives", "bigearthnet-v1").facts["published"]
COUNTS = list(PUBLISHED["label_counts"]["43"]["all"].values())


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
    frequencies = read_frequencies(LABEL_SETS)
    drawn = []
    for number in range(300):
        rng = np.random.default_rng([0, 1, number])
        drawn.append(draw_pixels(rng, draw_labels(rng, frequencies)))
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
    frequencies = read_frequencies(LABEL_SETS)
    rng = np.random.default_rng(0)
    drawn = [draw_labels(rng, frequencies) for _ in range(20_000)]
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
    assert list(PUBLISHED["label_counts"]["43"]["all"]) == list(CLASSES_43)
    # FACTS of the paper's table 2, by class index.
    assert [COUNTS[i] for i in (24, 23, 11, 28, 22, 36, 32)] == [
        217_119,
        211_703,
        196_695,
        173_506,
        150_944,
        424,
        328,
    ]
    assert sum(PUBLISHED["patches"].values()) + PUBLISHED["in_no_split"] == ARCHIVE_PATCHES
    for index, cover in enumerate(COVERS):
        assert cover.vv > cover.vh, index
    assert set(FROM_43_TO_19) < set(range(43))
