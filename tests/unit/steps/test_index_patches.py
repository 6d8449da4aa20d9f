import csv
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from earthprobe.errors import UserError
from earthprobe.steps import index_members, index_patches
from earthprobe.steps.index_patches import shard_of
from earthprobe.storage.parquet import read_metadata

from tests.archives import pack
from tests.conftest import SHARED, Indexer, TinyArchive, index_real, needs


def test_real_sample_has_its_splits(v1_sample: Path, tmp_path: Path):
    patches = pl.read_parquet(index_real(v1_sample, tmp_path, 3))
    assert dict(patches["split"].value_counts().iter_rows()) == {"train": 69, "val": 25, "test": 35}
    assert patches["patch_id"].is_sorted()
    # reBEN's ten countries, by the place
    ten = "Austria Belgium Finland Ireland Kosovo Lithuania Luxembourg Portugal Serbia Switzerland"
    assert set(patches["country"]) <= set(ten.split())
    assert (tmp_path / "split_mismatches.csv").read_text() == "patch_id,split,problem\n"


def test_patches_that_reben_lacks_have_the_country_of_their_place(v1_sample: Path, tmp_path: Path):
    lists = [v1_sample / f"bigearthnet-{split}.csv" for split in ("train", "val", "test")]
    s2_id, s1_id = lists[0].read_text().splitlines()[0].split(",")
    pl.DataFrame({"s1_name": [s1_id], "s2v1_name": [s2_id], "split": ["train"], "country": ["Utopia"]}).write_parquet(
        tmp_path / "reben.parquet"
    )

    def countries(*more: Path) -> dict[str, str]:
        index_patches.run(
            kind="bigearthnet-v1",
            files=[v1_sample / "BigEarthNet-S1-v1.0"],
            lists=[*lists, *more],
            shards=1,
            archive="x",
            output=tmp_path / "patches.parquet",
            mismatches=tmp_path / "mismatches.csv",
        )
        return dict(pl.read_parquet(tmp_path / "patches.parquet").select("patch_id", "country").iter_rows())

    without = countries()
    assert None not in without.values()
    assert countries(tmp_path / "reben.parquet") == without | {s1_id: "Utopia"}


def test_a_shard_is_a_hash_of_the_id_alone():
    ids = [f"S1A_{i}" for i in range(20_000)]
    counts = np.bincount([shard_of(p, 16) for p in ids], minlength=16)
    assert counts.min() > 1100
    assert counts.max() < 1400
    # Written down: a change would move every patch of every user to another shard.
    assert [shard_of(p, 64) for p in ("S1A_0", "S1A_1", "S1A_2")] == [46, 1, 22]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))[1:]


def test_patches_that_do_not_match_are_listed(twelve: TinyArchive, patches_of: Indexer, tmp_path: Path):
    unlisted = twelve.add(None)
    twice = twelve.splits["val"][0]
    twelve.splits["val"].append(twice)
    leaking = twelve.splits["test"][0]
    twelve.splits["train"].append(leaking)
    twelve.splits["train"].append("S1A_absent")
    index = pl.read_parquet(patches_of(twelve))
    assert index.height == 11
    assert leaking not in index["patch_id"].to_list()
    assert sorted(read_csv(tmp_path / "split_mismatches.csv")) == sorted(
        [
            [unlisted, "", "in no split"],
            [twice, "val", "twice in the split: kept once"],
            [leaking, "train", "in two splits: left out"],
            [leaking, "test", "in two splits: left out"],
            ["S1A_absent", "train", "not on disk"],
        ]
    )


def test_a_split_without_a_patch_stops_the_run(tiny: TinyArchive, patches_of: Indexer):
    tiny.add("train")
    tiny.add("val")
    with pytest.raises(UserError, match="holds no patch of test"):
        patches_of(tiny)


def test_padding_of_row_and_column_is_that_of_each_name(tmp_path: Path):
    root = needs(SHARED / "reben-sample")
    out = tmp_path / "patches.parquet"
    index_patches.run(
        kind="reben",
        files=[root / "BigEarthNet-S1"],
        lists=[root / "metadata.parquet"],
        shards=2,
        archive="x",
        output=out,
        mismatches=tmp_path / "m.csv",
    )
    patches = pl.read_parquet(out)
    assert patches.height == 44
    assert dict(patches["split"].value_counts().iter_rows()) == {"train": 2, "val": 1, "test": 41}
    assert patches["country"].null_count() == 0
    official = pl.read_parquet(root / "metadata.parquet").select(patch_id="s1_name", s2_id="patch_id")
    assert patches.join(official, on=["patch_id", "s2_id"]).height == 44
    for patch_id, folder in patches.select("patch_id", "folder_s1").rows():
        assert (root / "BigEarthNet-S1" / folder / f"{patch_id}_VV.tif").is_file()
    for s2_id, folder in patches.select("s2_id", "folder_s2").rows():
        assert folder == f"{s2_id.rsplit('_', 2)[0]}/{s2_id}"
    assert (tmp_path / "m.csv").read_text() == "patch_id,split,problem\n"


def test_v1_pixels_with_tables_of_reben_are_an_error(v1_sample: Path, tmp_path: Path):
    name = r"S1[AB]_IW_GRDH_1SDV_\w+"
    with pytest.raises(
        UserError, match=rf"holds no patch of the lists: found {name}, looked for folders such as {name}/{name}$"
    ):
        index_patches.run(
            kind="reben",
            files=[v1_sample / "BigEarthNet-S1-v1.0"],
            lists=[needs(SHARED / "reben-metadata") / "metadata.parquet"],
            shards=1,
            archive="x",
            output=tmp_path / "patches.parquet",
            mismatches=tmp_path / "m.csv",
        )


def indexed(kind: str, files: list[Path], lists: list[Path], out: Path) -> tuple[dict[str, str], list[list[str]]]:
    """The folder of each patch, and the rows that say what does not match."""
    index_patches.run(
        kind=kind,
        files=files,
        lists=lists,
        shards=1,
        archive="x",
        output=out / "patches.parquet",
        mismatches=out / "m.csv",
    )
    folders = pl.read_parquet(out / "patches.parquet").select("patch_id", "folder_s1").rows()
    return dict(folders), read_csv(out / "m.csv")


def test_a_folder_whose_name_is_no_text_is_named(twelve: TinyArchive, tmp_path: Path):
    (Path(os.fsdecode(os.fsencode(twelve.s1_folder) + b"/S1A_\xff"))).mkdir()
    lists = list(twelve.split_files().values())
    folders, rows = indexed("bigearthnet-v1", [twelve.s1_folder], lists, tmp_path)
    assert len(folders) == 12
    assert rows == [["S1A_\\xff", "", "its name is not UTF-8: left out"]]
    assert read_metadata(tmp_path / "patches.parquet")["mismatches"] == {"its name is not UTF-8: left out": 1}


def test_an_archive_of_such_folders_alone_is_an_error_that_can_be_shown(tiny: TinyArchive, tmp_path: Path):
    (Path(os.fsdecode(os.fsencode(tiny.s1_folder) + b"/S1A_\xff"))).mkdir()
    tiny.splits["train"].append("S1A_1")
    with pytest.raises(UserError, match="found .*, looked for folders such as S1A_1$") as caught:
        indexed("bigearthnet-v1", [tiny.s1_folder], list(tiny.split_files().values()), tmp_path)
    assert r"found S1A_\xff, looked" in str(caught.value)


SCENE = "S1A_IW_GRDH_1SDV_20170613T165043"
REBEN = [f"{SCENE}_33UUP_{number}_39" for number in range(3)]


@pytest.fixture
def reben(tmp_path: Path) -> Path:
    """The table of a patch a split; their folders lie in that of their scene."""
    columns = {
        "s1_name": REBEN,
        "patch_id": [f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_{number:02d}_39" for number in range(3)],
        "split": ["train", "validation", "test"],
        "country": ["Austria"] * 3,
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "metadata.parquet")
    for name in REBEN:
        (tmp_path / "BigEarthNet-S1" / SCENE / name).mkdir(parents=True)
    return tmp_path / "metadata.parquet"


@pytest.mark.parametrize("other", ["S1A_A", "S1B_Z"])
@pytest.mark.parametrize("backwards", [False, True])
def test_of_a_patch_in_two_scenes_the_one_in_its_place_is_taken(
    reben: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str, backwards: bool
):
    """Whichever the disk lists first."""
    top = tmp_path / "BigEarthNet-S1"
    (top / other / REBEN[0]).mkdir(parents=True)
    (top / other / "S1A_unlisted").mkdir()
    (top / SCENE / "S1A_unlisted").mkdir()
    listed = sorted(index_patches.folders_of([top], 2), reverse=backwards)
    monkeypatch.setattr(index_patches, "folders_of", lambda files, depth: listed)
    folders, rows = indexed("reben", [top], [reben], tmp_path)
    assert folders == {name: f"{SCENE}/{name}" for name in REBEN}
    proper, first = f"{SCENE}/{REBEN[0]}", min(f"{SCENE}/S1A_unlisted", f"{other}/S1A_unlisted")
    both, unlisted = (
        " and ".join(sorted(f"{scene}/{name}" for scene in (SCENE, other))) for name in (REBEN[0], "S1A_unlisted")
    )
    assert rows == [
        [REBEN[0], "train", f"found twice: {both}; {proper} was taken"],
        ["S1A_unlisted", "", f"found twice: {unlisted}; {first} was taken"],
    ]
    assert read_metadata(tmp_path / "patches.parquet")["mismatches"] == {"found twice": 2}


def test_of_a_patch_in_two_wrong_scenes_the_first_by_name_is_taken(reben: Path, tmp_path: Path):
    top = tmp_path / "BigEarthNet-S1"
    (top / "S1B").mkdir()
    (top / SCENE / REBEN[0]).rename(top / "S1B" / REBEN[0])
    (top / "S1A" / REBEN[0]).mkdir(parents=True)
    folders, rows = indexed("reben", [top], [reben], tmp_path)
    assert folders[REBEN[0]] == f"S1A/{REBEN[0]}"
    both = f"S1A/{REBEN[0]} and S1B/{REBEN[0]}"
    assert rows == [[REBEN[0], "train", f"found twice: {both}; S1A/{REBEN[0]} was taken"]]


def test_a_patch_in_two_tar_archives_is_named(twelve: TinyArchive, tmp_path: Path):
    members = []
    for number in range(2):
        path = pack(twelve.s1_folder, tmp_path / f"{number}.tar")
        members.append(tmp_path / f"{number}.parquet")
        index_members.run(tar=[path], folder=twelve.s1_folder.name, output=members[-1])
        for patch in twelve.splits["train"][1:] + twelve.splits["val"]:  # of the second archive
            for file in (twelve.s1_folder / patch).glob("*"):
                file.unlink()
    folders, rows = indexed("bigearthnet-v1", members, list(twelve.split_files().values()), tmp_path)
    assert len(folders) == 12
    twice = [(twelve.splits["train"][0], "train"), *((patch, "test") for patch in twelve.splits["test"])]
    assert rows == sorted([p, split, f"found twice: {p} in several archives; {p} was taken"] for p, split in twice)


def test_few_of_many_patches_that_are_not_on_disk_are_listed(twelve: TinyArchive, tmp_path: Path):
    twice = twelve.splits["val"][0]
    twelve.splits["val"].append(twice)
    unlisted = twelve.add(None)
    absent = [f"S1A_{number:03d}" for number in range(100)]
    twelve.splits["train"] += absent
    real = [[unlisted, "", "in no split"], [twice, "val", "twice in the split: kept once"]]
    rows = indexed("bigearthnet-v1", [twelve.s1_folder], list(twelve.split_files().values()), tmp_path)[1]
    assert rows == sorted(real) + [[patch, "train", "not on disk"] for patch in absent]
    twelve.splits["test"] += ["S1A_0", "S1A_101"]
    rows = indexed("bigearthnet-v1", [twelve.s1_folder], list(twelve.split_files().values()), tmp_path)[1]
    named = sorted([["S1A_0", "test", "not on disk"], *([patch, "train", "not on disk"] for patch in absent)])[:100]
    assert rows == [*sorted(real), *named, ["(2 more)", "", "not on disk"]]
    counted = read_metadata(tmp_path / "patches.parquet")["mismatches"]
    assert counted == {"not on disk": 102, "twice in the split: kept once": 1, "in no split": 1}


@pytest.mark.parametrize(
    ("root", "found"),
    [
        (f"BigEarthNet-S1/{SCENE}", f"{SCENE}_33UUP_"),  # as if it were flat
        (".", f"BigEarthNet-S1/{SCENE}"),
    ],
)
def test_patches_on_another_level_are_an_error(reben: Path, tmp_path: Path, root: str, found: str):
    here = tmp_path / root
    with pytest.raises(UserError, match=rf"^{here} holds no patch of the lists: found {found}") as caught:
        indexed("reben", [here], [reben], tmp_path)
    assert str(caught.value).endswith(f", looked for folders such as {SCENE}/{REBEN[0]}")


def test_an_archive_or_lists_without_a_patch_are_an_error(reben: Path, tiny: TinyArchive, tmp_path: Path):
    with pytest.raises(
        UserError, match=rf"holds no patch of the lists: found no folder, looked for folders such as {SCENE}/"
    ):
        indexed("reben", [tiny.s1_folder], [reben], tmp_path)
    with pytest.raises(UserError, match=r"BigEarthNet-S1: the lists name no patch$"):
        indexed("bigearthnet-v1", [tmp_path / "BigEarthNet-S1"], list(tiny.split_files().values()), tmp_path)
