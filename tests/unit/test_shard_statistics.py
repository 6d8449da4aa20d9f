import csv
import json
from pathlib import Path

import numpy as np
import pytest
from earthprobe.errors import UserError
from earthprobe.index import write_index
from earthprobe.rejected import write_rejected
from earthprobe.shard import write_shard
from earthprobe.shard_statistics import write_statistics

from tests.conftest import Indexer, TinyArchive, read_band


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
