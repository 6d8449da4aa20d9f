import errno
import os
from pathlib import Path
from typing import Any

import pytest
from earthprobe import registry
from earthprobe.archives.find import lists, patch_files
from earthprobe.errors import UserError


def tar(name: str, sensor: str) -> str:
    """The tar archive in which a sensor's patches are published."""
    return str(registry.kind("archives", name).facts["tars"][sensor])


def kind(kind: str, root: object, **more: Any) -> dict[str, Any]:
    """The archive of a configuration."""
    return {"name": "x", "kind": kind, "root": root if isinstance(root, list) else str(root), "fetch": False} | more


def test_an_archive_is_found_unpacked_or_not(tmp_path: Path):
    (tmp_path / "BigEarthNet-S1-v1.0-notes.txt").touch()
    parts = [tmp_path / f"BigEarthNet-S1-v1.0.tar.gz{part}" for part in ("aa", "ab", "ac")]
    for path in reversed(parts):
        path.touch()
    archive = kind("bigearthnet-v1", tmp_path)
    assert patch_files(archive, "s1") == [parts]
    (tmp_path / "BigEarthNet-S1-v1.0").mkdir()
    assert patch_files(archive, "s1") == tmp_path / "BigEarthNet-S1-v1.0"
    numbered = [tmp_path / f"mine.tar.zst.part{number}" for number in (1, 2, 10)]
    for path in [*numbered, tmp_path / "other.tar"]:
        path.touch()
    named = kind("bigearthnet-v1", [str(path) for path in (numbered[2], tmp_path / "other.tar", *numbered[:2])])
    assert patch_files(named, "s1") == [[tmp_path / "other.tar"], numbered]
    assert patch_files(kind("bigearthnet-v1", tmp_path / "other.tar"), "s1") == [[tmp_path / "other.tar"]]


def test_what_lies_beside_an_archive_is_no_part_of_it(tmp_path: Path):
    top = "BigEarthNet-S1-v1.0"
    for name in (f"{top}.tar.gz.md5", f"{top}.tar.xz", f"{top}.tar.gz.aria2"):
        (tmp_path / name).touch()
    fetched = kind("bigearthnet-v1", tmp_path) | {"fetch": True}
    assert patch_files(fetched, "s1") == [[tmp_path / f"{top}.tar.gz"]]
    whole = tmp_path / f"{top}.tar.gz"
    for path in (whole, whole.with_name(f"{whole.name}aa"), whole.with_name(f"{whole.name}ab")):
        path.touch()
    assert patch_files(fetched, "s1") == patch_files(kind("bigearthnet-v1", tmp_path), "s1") == [[whole]]
    (tmp_path / f"{top}.tar").touch()
    with pytest.raises(UserError, match=rf"holds {top}.tar, {top}.tar.gz: rename all but the one to read"):
        patch_files(kind("bigearthnet-v1", tmp_path), "s1")


def test_lists_lie_beside_any_of_several_archives(tmp_path: Path):
    for folder, name in (("a", "BigEarthNet-S2.tar.zst"), ("b", "BigEarthNet-S1.tar.zst"), ("b", "metadata.parquet")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch()
    archive = kind("reben", [str(tmp_path / "a/BigEarthNet-S2.tar.zst"), str(tmp_path / "b/BigEarthNet-S1.tar.zst")])
    assert lists(archive | {"snow_and_clouds": False}) == [tmp_path / "b/metadata.parquet"]


@pytest.mark.parametrize(
    ("name", "folder", "stem"),
    [
        ("bigearthnet-v1", "BigEarthNet-v1.0", "BigEarthNet-S2-v1.0"),
        ("bigearthnet-v1", "BigEarthNet-v1.0", "BigEarthNet-v1.0"),
        ("reben", "BigEarthNet-S2", "BigEarthNet-S2"),
    ],
)
def test_sentinel_2_lies_beside_sentinel_1(tmp_path: Path, name: str, folder: str, stem: str):
    s1 = tmp_path / tar(name, "s1")
    s1.touch()
    archive = kind(name, tmp_path)
    published = tar(name, "s2").partition(".")[0]
    with pytest.raises(
        UserError, match=f"holds neither the folder {folder} nor {published}.*.tar, .tar.gz or .tar.zst"
    ):
        patch_files(archive, "s2")
    s2 = tmp_path / f"{stem}.tar.zst"
    s2.touch()
    assert patch_files(archive, "s2") == [[s2]]
    named = kind(name, [str(s1), str(s2)])
    assert patch_files(named, "s1") == [[s1]]
    assert patch_files(named, "s2") == [[s2]]
    with pytest.raises(UserError, match=f"no tar archive of {folder} among {s1}: add it, under the name {published}"):
        patch_files(kind(name, s1), "s2")
    (tmp_path / folder).mkdir()
    assert patch_files(archive, "s2") == tmp_path / folder
    assert patch_files(archive, "s1") == [[s1]]


def test_what_is_fetched_need_not_be_there(tmp_path: Path):
    archive = kind("reben", tmp_path / "new") | {"fetch": True, "snow_and_clouds": False}
    assert patch_files(archive, "s1") == [[tmp_path / "new/BigEarthNet-S1.tar.zst"]]
    assert patch_files(archive, "s2") == [[tmp_path / "new/BigEarthNet-S2.tar.zst"]]
    assert lists(archive) == [tmp_path / "new/metadata.parquet"]
    (tmp_path / "new").mkdir()
    (tmp_path / "new/BigEarthNet-S1.tar.gzaa").touch()
    assert patch_files(archive, "s1") == [[tmp_path / "new/BigEarthNet-S1.tar.gzaa"]]
    with pytest.raises(UserError, match="give the folder to fetch into"):
        patch_files(archive | {"root": [str(tmp_path)]}, "s1")


TOP = "BigEarthNet-S1-v1.0"
PATCH = "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_26_57"


@pytest.mark.parametrize(
    ("patches", "root", "found"),
    [
        (f"a/{TOP}/{PATCH}", f"a/{TOP}", ": found patches in {root} itself: give the folder above it"),
        (f"a/mine/{PATCH}", "a/mine", ": found patches in {root} itself, which must be called {TOP}: give the folder"),
        (f"a/{TOP}/{PATCH}", ".", ": found {root}/a/{TOP}: give {root}/a"),
        (f"a/mine/{PATCH}", "a", ": found patches in {root}/mine, which must be called {TOP}"),
        (f"a/b/c/{TOP}/{PATCH}", ".", ""),
        ("a/photos", "a", ""),
    ],
)
def test_what_lies_in_the_place_of_an_archive_is_said(tmp_path: Path, patches: str, root: str, found: str):
    (tmp_path / patches).mkdir(parents=True)
    (tmp_path / "a/some file").touch()
    here = tmp_path / root
    with pytest.raises(UserError) as caught:
        patch_files(kind("bigearthnet-v1", here), "s1")
    begin = f"config: archive.root: {here} holds neither the folder {TOP} nor {TOP}.tar, .tar.gz or .tar.zst"
    assert str(caught.value).startswith(begin + found.format(root=here, TOP=TOP))
    assert found or str(caught.value) == begin


def test_patches_of_another_sensor_are_not_taken_for_those_that_are_looked_for(tmp_path: Path):
    (tmp_path / TOP / PATCH).mkdir(parents=True)
    assert patch_files(kind("bigearthnet-v1", tmp_path), "s1") == tmp_path / TOP
    with pytest.raises(UserError, match=r"nor BigEarthNet-S2-v1.0.tar, .tar.gz or .tar.zst$"):
        patch_files(kind("bigearthnet-v1", tmp_path), "s2")
    (tmp_path / "optical/S2A_MSIL2A_20170613T101031_26_57").mkdir(parents=True)
    with pytest.raises(
        UserError, match=rf": found patches in {tmp_path}/optical, which must be called BigEarthNet-v1.0$"
    ):
        patch_files(kind("bigearthnet-v1", tmp_path), "s2")


def test_a_folder_that_may_not_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Such as lost+found, which only root may read, as a test may be."""
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "mine" / PATCH).mkdir(parents=True)
    open_folder = os.scandir

    def refuse(path: Path) -> Any:
        if path.name == "lost+found":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_folder(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "lost+found")
    with pytest.raises(UserError, match=rf": found patches in {tmp_path}/mine, which must be called {TOP}$"):
        patch_files(kind("bigearthnet-v1", tmp_path), "s1")


@pytest.mark.parametrize("name", ["{x}", "a{", "}"])
def test_a_root_with_braces_is_refused(tmp_path: Path, name: str):
    (tmp_path / name / TOP).mkdir(parents=True)
    for fetch in (False, True):
        archive = kind("bigearthnet-v1", tmp_path / name) | {"fetch": fetch}
        for look in (lists, lambda archive: patch_files(archive, "s1")):
            with pytest.raises(UserError) as caught:
                look(archive)
            reason = "Snakemake takes { and } for wildcards: rename that folder"
            assert str(caught.value) == f"config: archive.root: {tmp_path / name}: {reason}"


def test_a_split_of_reben_needs_its_table(tmp_path: Path):
    (tmp_path / "BigEarthNet-S1-v1.0").mkdir()
    archive = kind("bigearthnet-v1", str(tmp_path)) | {"split": "reben", "reben": None}
    with pytest.raises(UserError, match="config: archive.reben: split: reben needs reBEN's metadata.parquet"):
        lists(archive)
    with pytest.raises(UserError, match=r"config: archive.reben: .*m.parquet does not exist"):
        lists(archive | {"reben": str(tmp_path / "m.parquet")})
    (tmp_path / "m.parquet").touch()
    assert lists(archive | {"reben": str(tmp_path / "m.parquet")}) == [tmp_path / "m.parquet"]
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").touch()
    official = archive | {"split": "official", "reben": str(tmp_path / "m.parquet")}
    assert [path.name for path in lists(official)] == ["train.csv", "val.csv", "test.csv", "m.parquet"]
