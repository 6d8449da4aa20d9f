import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from earthprobe.bands import bands_of
from earthprobe.check import check
from earthprobe.errors import UserError
from earthprobe.index import write_index
from earthprobe.rejected import write_rejected
from earthprobe.shard import write_shard
from earthprobe.shard_statistics import write_statistics

from tests.conftest import REPOSITORY, Indexer, TinyArchive, read_band


def run(archive: TinyArchive, patches_of: Indexer, out: Path, shards: int = 1, max_rejected: float = 0.5) -> dict:
    patches = patches_of(archive, shards=shards)
    paths = [out / f"{shards}-{n}.parquet" for n in range(shards)]
    for number, path in enumerate(paths):
        write_shard(patches, "s1", [archive.s1_folder], number, path)
    write_statistics(patches, paths, max_rejected, out / "statistics.json")
    return json.loads((out / "statistics.json").read_text())


def test_figures_equal_numpys_over_the_train_split(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    result = run(twelve, patches_of, tmp_path)
    for band in ("VV", "VH"):
        files = [twelve.s1_folder / p / f"{p}_{band}.tif" for p in twelve.splits["train"]]
        pixels = np.stack([read_band(f) for f in files]).astype(np.float64)
        assert result["train"][band]["mean"] == pytest.approx(pixels.mean(), abs=1e-6)
        assert result["train"][band]["std"] == pytest.approx(pixels.std(), abs=1e-6)


def test_they_do_not_depend_on_the_number_of_shards(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    assert run(twelve, patches_of, tmp_path, shards=1) == run(twelve, patches_of, tmp_path, shards=5)


def test_rejected_patches_of_index_and_shard_are_listed(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    a, b = twelve.splits["train"][:2]
    (twelve.s1_folder / a / f"{a}_labels_metadata.json").write_text("{")
    (twelve.s1_folder / b / f"{b}_VV.tif").unlink()
    result = run(twelve, patches_of, tmp_path)
    assert result["patches"] == 12
    assert result["rejected"] == [[b, "train", f"{b}_VV.tif is missing"]]
    index = tmp_path / "index.parquet"
    write_index(tmp_path / "patches.parquet", 0.1, index, s1=[twelve.s1_folder])
    write_rejected(index, [tmp_path / "statistics.json"], tmp_path / "rejected.csv")
    with (tmp_path / "rejected.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["patch_id", "split", "step", "reason"],
        [a, "train", "index", "labels file is no JSON"],
        [b, "train", "shard", f"{b}_VV.tif is missing"],
    ]


def test_patches_without_sentinel_2_do_not_stop_the_run(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    """A part of Sentinel-2 does, as a part of Sentinel-1 does; damaged files are another thing."""
    folder = twelve.add_optical()
    a, b, c = twelve.splits["train"][:3]
    for patch_id in (a, b):
        shutil.rmtree(folder / twelve.s2_name(patch_id))
    broken = twelve.s2_name(c)
    (folder / broken / f"{broken}_B05.tif").unlink()
    patches = patches_of(twelve, shards=1)
    write_shard(patches, "s2", [folder], 0, tmp_path / "s2.parquet")
    message = rf"1 of 12 patches \(8.3%\) are rejected.*the first is {c}: {broken}_B05.tif is missing; after"
    with pytest.raises(UserError, match=message):
        write_statistics(patches, [tmp_path / "s2.parquet"], 0.08, tmp_path / "s2.json")
    write_statistics(patches, [tmp_path / "s2.parquet"], 0.09, tmp_path / "s2.json")
    result = json.loads((tmp_path / "s2.json").read_text())
    assert (result["sensor"], sorted(result["all"])) == ("s2", sorted(bands_of("s2")))
    absent = [[patch_id, "train", "has no Sentinel-2 patch in the archive"] for patch_id in (a, b)]
    assert result["rejected"] == sorted([*absent, [c, "train", f"{broken}_B05.tif is missing"]])

    (twelve.s1_folder / b / f"{b}_VV.tif").unlink()
    (twelve.s1_folder / c / f"{c}_VV.tif").unlink()
    run(twelve, patches_of, tmp_path)
    write_index(patches, 0, tmp_path / "index.parquet", s1=[twelve.s1_folder])
    statistics = [tmp_path / "statistics.json", tmp_path / "s2.json"]
    write_rejected(tmp_path / "index.parquet", statistics, tmp_path / "rejected.csv")
    with (tmp_path / "rejected.csv").open() as stream:
        rows = [(row["patch_id"], row["step"]) for row in csv.DictReader(stream)]
    assert rows == sorted([(a, "shard_s2"), (b, "shard"), (b, "shard_s2"), (c, "shard"), (c, "shard_s2")])

    (tmp_path / "mismatches.csv").write_text("patch_id,split,problem\n")
    found = {
        finding.what: finding
        for finding in check(
            "bigearthnet-v1",
            False,
            patches=patches,
            mismatches=tmp_path / "mismatches.csv",
            index=tmp_path / "index.parquet",
            statistics=statistics,
            rejected=tmp_path / "rejected.csv",
            label_counts=REPOSITORY / "resources/published_label_counts.csv",
            output=tmp_path / "check.csv",
            page=tmp_path / "check.html",
        )
    }
    assert found["patches without readable pixels"].found == "2"  # c in both sensors, b in one
    assert found["patches without Sentinel-2"][1:4] == ("2", "0", "fewer")
    assert found["pixels of B12"].expected == "1009 ± 819"
    assert found["pixels of B12"].advice == "9 patches are too few to tell."  # 12, and 3 that cannot be read


def test_too_many_rejected_patches_stop_the_run(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    bad = twelve.splits["train"][0]
    (twelve.s1_folder / bad / f"{bad}_VV.tif").unlink()
    message = r"1 of 12 patches \(8.3%\) are rejected, .* after mending them, delete .*/1-0.parquet and run again"
    with pytest.raises(UserError, match=message):
        run(twelve, patches_of, tmp_path, max_rejected=0.08)
    assert not (tmp_path / "statistics.json").exists()


def test_swapped_bands_are_seen_in_shards_too_small_to_judge(tiny: TinyArchive, patches_of: Indexer, tmp_path: Path):
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        bright = rng.normal(-12, 1, (120, 120)).astype(np.float32)
        tiny.add(split, vv=bright - 7, vh=bright)
    with pytest.raises(UserError, match=r"tiny: VV is darker than VH \(-19.0 against -12.0 dB\), in .*/2-0.parquet"):
        run(tiny, patches_of, tmp_path, shards=2)


def test_constant_pixels_are_refused(tiny: TinyArchive, patches_of: Indexer, tmp_path: Path):
    flat = np.full((120, 120), -12, dtype=np.float32)
    for split in ("train", "val", "test"):
        tiny.add(split, vv=flat, vh=flat - 7)
    with pytest.raises(UserError, match="the train split's pixels of V[VH] do not vary"):
        run(tiny, patches_of, tmp_path)
