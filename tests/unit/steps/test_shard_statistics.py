import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from earthprobe.errors import UserError
from earthprobe.sensors import bands_of
from earthprobe.steps import check, index, rejected, shard, shard_statistics
from earthprobe.steps.check import Finding
from earthprobe.storage.files import read_csv

from tests.conftest import Indexer, TinyArchive, read_band


def run(archive: TinyArchive, patches_of: Indexer, out: Path, shards: int = 1, max_rejected: float = 0.5) -> dict:
    patches = patches_of(archive, shards=shards)
    paths = [out / f"{shards}-{n}.parquet" for n in range(shards)]
    for number, path in enumerate(paths):
        shard.run(patches=patches, sensor="s1", source=[archive.s1_folder], shard=number, output=path)
    return statistics(patches, paths, "s1", out, max_rejected)


def statistics(patches: Path, shards: list[Path], sensor: str, out: Path, max_rejected: float) -> dict:
    """What all shards of a sensor hold; the patches that cannot be read are in ``rejected``."""
    shard_statistics.run(
        patches=patches,
        shards=shards,
        max_rejected=max_rejected,
        output=out / f"{sensor}.json",
        rejected=out / f"rejected/{sensor}.csv",
    )
    return json.loads((out / f"{sensor}.json").read_text())


def index_of(archive: TinyArchive, out: Path, max_rejected: float) -> None:
    index.run(
        kind="bigearthnet-v1",
        patches=out / "patches.parquet",
        labels=[archive.s1_folder],
        max_rejected=max_rejected,
        output=out / "index.parquet",
    )


def rows(path: Path) -> list[list[str]]:
    """Those of a CSV file, without its header."""
    return [list(row.values()) for row in read_csv(path)]


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
    assert result["rejected"] == 1
    assert (tmp_path / "rejected/s1.csv").read_text() == f"patch_id,split,reason\n{b},train,{b}_VV.tif is missing\n"
    index_of(twelve, tmp_path, 0.1)
    out = tmp_path / "rejected.csv"
    rejected.run(index=tmp_path / "index.parquet", pixels=[tmp_path / "rejected/s1.csv"], output=out)
    assert list(read_csv(out)[0]) == ["patch_id", "split", "step", "reason"]
    assert rows(out) == [
        [a, "train", "index", "labels file is not valid JSON"],
        [b, "train", "shard s1", f"{b}_VV.tif is missing"],
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
    shard.run(patches=patches, sensor="s2", source=[folder], shard=0, output=tmp_path / "s2.parquet")
    message = rf"1 of 12 patches \(8.3%\) are rejected.*the first is {c}: {broken}_B05.tif is missing; after"
    with pytest.raises(UserError, match=message):
        statistics(patches, [tmp_path / "s2.parquet"], "s2", tmp_path, 0.08)
    result = statistics(patches, [tmp_path / "s2.parquet"], "s2", tmp_path, 0.09)
    assert (result["sensor"], sorted(result["all"])) == ("s2", sorted(bands_of("s2")))
    assert result["rejected"] == 3
    absent = [[patch_id, "train", "has no Sentinel-2 patch in the archive"] for patch_id in (a, b)]
    assert rows(tmp_path / "rejected/s2.csv") == sorted([*absent, [c, "train", f"{broken}_B05.tif is missing"]])

    (twelve.s1_folder / b / f"{b}_VV.tif").unlink()
    (twelve.s1_folder / c / f"{c}_VV.tif").unlink()
    run(twelve, patches_of, tmp_path)
    index_of(twelve, tmp_path, 0)
    pixels = [tmp_path / "rejected/s1.csv", tmp_path / "rejected/s2.csv"]
    rejected.run(index=tmp_path / "index.parquet", pixels=pixels, output=tmp_path / "rejected.csv")
    steps = [(patch_id, step) for patch_id, _, step, _ in rows(tmp_path / "rejected.csv")]
    assert steps == sorted([(a, "shard s2"), (b, "shard s1"), (b, "shard s2"), (c, "shard s1"), (c, "shard s2")])

    check.run(
        kind="bigearthnet-v1",
        patches=patches,
        index=tmp_path / "index.parquet",
        statistics=[tmp_path / "s1.json", tmp_path / "s2.json"],
        rejected=tmp_path / "rejected.csv",
        csv=tmp_path / "check.csv",
        html=tmp_path / "check.html",
    )
    found = {row[0]: Finding(*row) for row in rows(tmp_path / "check.csv")}
    assert found["patches without readable pixels"].found == "2"  # c in both sensors, b in one
    assert found["patches without Sentinel-2"][1:4] == ("2", "0", "fewer")
    assert found["pixels of B12"].expected == "1009 ± 819"
    assert found["pixels of B12"].advice == "9 patches are too few to tell."  # 12, and 3 that cannot be read


def test_an_archive_without_any_of_the_patches_of_sentinel_2_stops_the_run(
    twelve: TinyArchive, patches_of: Indexer, tmp_path: Path
):
    """It is that of other patches; where even one is there, it is a part."""
    folder = twelve.add_optical()
    kept, first = twelve.s2_name(twelve.splits["train"][3]), twelve.s2_name(min(twelve.splits["train"]))
    for path in folder.iterdir():
        if path.name != kept:
            shutil.rmtree(path)
    patches, out = patches_of(twelve, shards=1), tmp_path / "s2.parquet"
    shard.run(patches=patches, sensor="s2", source=[folder], shard=0, output=out)
    assert statistics(patches, [out], "s2", tmp_path, 0)["rejected"] == 11
    (tmp_path / "s2.json").unlink()
    shutil.rmtree(folder / kept)
    shard.run(patches=patches, sensor="s2", source=[folder], shard=0, output=out)
    message = "tiny: no patch has its Sentinel-2 patch in the archive: the first is sought as"
    with pytest.raises(UserError, match=f"{message} {first}/{first}_B01.tif: is it the archive that belongs to these"):
        statistics(patches, [out], "s2", tmp_path, 0)
    assert not (tmp_path / "s2.json").exists()


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("patches", [1, 12])
def test_patches_with_odd_values_are_named_and_swap_no_bands(
    twelve: TinyArchive, patches_of: Indexer, tmp_path: Path, shards: int, patches: int
):
    names = sorted(name for names in twelve.splits.values() for name in names)[:patches]
    usual = run(twelve, patches_of, tmp_path)
    assert usual["odd"] == []
    for name in names:
        path = twelve.s1_folder / name / f"{name}_VV.tif"
        pixels = read_band(path).copy()
        pixels[:4] = -9999
        tifffile.imwrite(path, pixels)
    result = run(twelve, patches_of, tmp_path, shards)
    assert [patch_id for patch_id, _ in result["odd"]] == names
    assert all("has VV from -9999 to " in what for _, what in result["odd"])
    assert result.keys() == usual.keys()
    assert result["rejected"] == 0
    assert result["all"]["VV"]["mean"] < result["all"]["VH"]["mean"]
    assert result["all"]["VH"] == usual["all"]["VH"]


def test_too_many_rejected_patches_stop_the_run(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    bad = twelve.splits["train"][0]
    (twelve.s1_folder / bad / f"{bad}_VV.tif").unlink()
    message = r"1 of 12 patches \(8.3%\) are rejected, .* after fixing them, delete .*/1-0.parquet and run again"
    with pytest.raises(UserError, match=message):
        run(twelve, patches_of, tmp_path, max_rejected=0.08)
    assert not (tmp_path / "s1.json").exists()
    assert not (tmp_path / "rejected/s1.csv").exists()


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


def test_a_train_split_without_any_pixels_is_said(tiny: TinyArchive, patches_of: Indexer, tmp_path: Path):
    for split in ("train", "val", "test"):
        name = tiny.add(split)
        if split == "train":
            (tiny.s1_folder / name / f"{name}_VV.tif").unlink()
    message = "no patch of the train split has the bands VV, VH, though 2 patches of val and test have"
    with pytest.raises(UserError, match=message):
        run(tiny, patches_of, tmp_path, max_rejected=0.5)
