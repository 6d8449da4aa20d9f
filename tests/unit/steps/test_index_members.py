"""Packed archives, against the folders that they were packed from."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from earthprobe.archives.interface import SPLITS
from earthprobe.errors import UserError
from earthprobe.steps import index, index_members, index_patches, shard
from earthprobe.steps.index_members import place_of
from earthprobe.storage.parquet import read_metadata
from earthprobe.storage.tar_names import is_plain

from tests.archives import both_sensors, pack
from tests.conftest import SHARED, TinyArchive, index_folder, needs

REBEN = SHARED / "reben-sample"
TOP = "BigEarthNet-S1-v1.0"
SHARDS = 3


def listed(path: Path, top: str = TOP) -> Path:
    """What index_members makes of an archive."""
    out = path.parent / f"{path.name}.members.parquet"
    contents = None if is_plain([path]) else path.parent / f"{path.name}.contents"
    index_members.run(tar=[path], folder=top, contents=contents, output=out)
    return out


def everything(kind: str, s1: list[Path], lists: list[Path], labels: list[Path], out: Path) -> dict[str, bytes]:
    """The files that the rest of the workflow reads."""
    out.mkdir(exist_ok=True)
    patches = out / "patches.parquet"
    index_patches.run(
        kind=kind,
        files=s1,
        lists=lists,
        shards=SHARDS,
        archive="x",
        output=patches,
        mismatches=out / "mismatches.csv",
    )
    index.run(kind=kind, patches=patches, labels=labels, max_rejected=0, output=out / "index.parquet")
    for number in range(SHARDS):
        shard.run(patches=patches, sensor="s1", source=s1, shard=number, output=out / f"{number}.parquet")
    return {path.name: path.read_bytes() for path in out.iterdir()}


def everything_of_v1(s1: list[Path], root: Path, out: Path) -> dict[str, bytes]:
    """The same of BigEarthNet v1, whose labels lie beside the pixels."""
    return everything("bigearthnet-v1", s1, [root / f"bigearthnet-{split}.csv" for split in SPLITS], s1, out)


@pytest.fixture(scope="module")
def v1(v1_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return everything_of_v1([v1_sample / TOP], v1_sample, tmp_path_factory.mktemp("v1"))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.zst"])
def test_reflectance_is_the_same_packed(v1_sample: Path, tmp_path: Path, name: str):
    """Its labels files lie beside it, too, and nobody needs them."""
    names = both_sensors(v1_sample, tmp_path)
    files = {split: tmp_path / f"bigearthnet-{split}.csv" for split in SPLITS}
    patches = index_folder(tmp_path / TOP, files, tmp_path, 1, "both")
    folder = tmp_path / "BigEarthNet-v1.0"
    packed = listed(pack(folder, tmp_path / name), folder.name)
    for source, out in ((folder, "a.parquet"), (packed, "b.parquet")):
        shard.run(patches=patches, sensor="s2", source=[source], shard=0, output=tmp_path / out)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pl.read_parquet(tmp_path / "b.parquet").height == len(names) == 6


@pytest.mark.parametrize(
    ("name", "seed", "form"),
    [
        ("a.tar", 1, tarfile.GNU_FORMAT),
        ("a.tar.gz", 2, tarfile.PAX_FORMAT),
        ("a.tar.zst", 3, tarfile.GNU_FORMAT),
        ("a.tar", None, tarfile.USTAR_FORMAT),
    ],
)
def test_real_patches_of_v1_are_the_same_packed(
    v1: dict[str, bytes], v1_sample: Path, tmp_path: Path, name: str, seed: int | None, form: int
):
    members = [listed(pack(v1_sample / TOP, tmp_path / name, seed, form))]
    assert everything_of_v1(members, v1_sample, tmp_path / "out") == v1


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.zst"])
def test_real_patches_of_reben_are_the_same_packed(tmp_path: Path, name: str):
    root = needs(REBEN)
    tables = [root / "metadata.parquet"]
    folder = everything("reben", [root / "BigEarthNet-S1"], tables, tables, tmp_path / "folder")
    members = [listed(pack(root / "BigEarthNet-S1", tmp_path / name, 4), "BigEarthNet-S1")]
    assert everything("reben", members, tables, tables, tmp_path / "packed") == folder
    assert pl.read_parquet(io.BytesIO(folder["index.parquet"])).height == 44


def test_patches_of_two_archives_are_one(v1: dict[str, bytes], v1_sample: Path, tmp_path: Path):
    members = []
    for number, satellite in enumerate("AB"):
        half = tmp_path / str(number) / TOP
        half.mkdir(parents=True)
        for patch in (v1_sample / TOP).glob(f"S1{satellite}*"):
            (half / patch.name).symlink_to(patch)
        path = tmp_path / f"{number}.tar"
        with tarfile.open(path, "w", dereference=True) as archive:
            archive.add(half, TOP)
        members.append(listed(path))
    assert everything_of_v1(members, v1_sample, tmp_path / "out") == v1


def test_labels_are_read_without_the_archive(v1: dict[str, bytes], v1_sample: Path, tmp_path: Path):
    members = listed(pack(v1_sample / TOP, tmp_path / "a.tar.gz"))
    everything_of_v1([members], v1_sample, tmp_path / "out")
    for path in tmp_path.glob("a.tar.gz*"):
        if path != members:
            path.unlink()
    index.run(
        kind="bigearthnet-v1",
        patches=tmp_path / "out/patches.parquet",
        labels=[members],
        max_rejected=0,
        output=tmp_path / "again.parquet",
    )
    assert (tmp_path / "again.parquet").read_bytes() == v1["index.parquet"]


def hostile(path: Path, twelve: TinyArchive) -> tuple[list[str], Path]:
    """An archive whose first two patches are attacks, and whose other members are, too."""
    outside = path.parent / "outside"
    first, second = twelve.splits["train"][:2]
    with tarfile.open(path, "w:gz") as archive:
        for patch in sorted(twelve.s1_folder.iterdir()):
            for file in patch.iterdir():
                name = f"{TOP}/{patch.name}/{file.name}"
                if patch.name == first and file.name.endswith("VV.tif"):
                    link = tarfile.TarInfo(name)
                    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
                    archive.addfile(link)
                elif patch.name == second and file.name.endswith("VH.tif"):
                    device = tarfile.TarInfo(name)
                    device.type = tarfile.CHRTYPE
                    archive.addfile(device)
                else:
                    archive.add(file, name)
        for name in (
            str(outside),
            f"../../{outside.name}",
            f"{TOP}/../{first}/{first}_VV.tif",
            f"{TOP}/x/\udcff_VV.tif",
        ):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"bad"))
    return [first, second], outside


def test_hostile_members_touch_nothing_and_reject_their_patches(
    twelve: TinyArchive, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    bad, outside = hostile(tmp_path / "a.tar.gz", twelve)
    before = set(tmp_path.rglob("*"))
    caplog.set_level("INFO", "earthprobe")
    members = listed(tmp_path / "a.tar.gz")
    assert set(tmp_path.rglob("*")) - before == {members, tmp_path / "a.tar.gz.contents"}
    assert not outside.exists()
    assert "skipped 3: a file whose name leads out of the archive" in caplog.text
    patches = tmp_path / "patches.parquet"
    index_patches.run(
        kind="bigearthnet-v1",
        files=[members],
        lists=list(twelve.split_files().values()),
        shards=1,
        archive="x",
        output=patches,
        mismatches=tmp_path / "mismatches.csv",
    )
    shard.run(patches=patches, sensor="s1", source=[members], shard=0, output=tmp_path / "0.parquet")
    rejected = {patch_id: reason for patch_id, _, reason in read_metadata(tmp_path / "0.parquet")["rejected"]}
    assert rejected == {
        bad[0]: f"{bad[0]}_VV.tif is a symbolic link in the archive",
        bad[1]: f"{bad[1]}_VH.tif is a device in the archive",
    }
    assert pq.read_metadata(tmp_path / "0.parquet").num_rows == 10


def test_a_file_too_large_for_a_patch_rejects_it(twelve: TinyArchive, tmp_path: Path):
    patch = twelve.splits["val"][0]
    (twelve.s1_folder / patch / f"{patch}_VV.tif").write_bytes(bytes(2**24 + 1))
    rows = pl.read_parquet(listed(pack(twelve.s1_folder, tmp_path / "a.tar.gz"))).filter(
        pl.col("problem").is_not_null()
    )
    assert rows["folder"].to_list() == [patch]
    assert rows["problem"].to_list() == ["has 16777217 bytes, too large for a file of a patch"]


def test_an_archive_of_something_else_is_an_error(twelve: TinyArchive, tmp_path: Path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(twelve.root / "..", "other", filter=lambda member: member if member.isdir() else None)
    with pytest.raises(UserError, match="a.tar holds no patch of BigEarthNet-S1-v1.0: is archive.kind right"):
        listed(path)
    assert not list(tmp_path.glob("*.parquet"))


def test_patches_of_v1_are_not_taken_for_those_of_reben(twelve: TinyArchive, tmp_path: Path):
    """Their Sentinel-1 names are the same."""
    with pytest.raises(UserError, match="holds no patch of BigEarthNet-S1: is archive.kind right"):
        listed(pack(twelve.s1_folder, tmp_path / "a.tar"), "BigEarthNet-S1")


def test_a_damaged_archive_leaves_nothing_behind(twelve: TinyArchive, tmp_path: Path):
    path = pack(twelve.s1_folder, tmp_path / "a.tar.gz")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"a.tar.gz is damaged: .*; fetch it again$"):
        listed(path)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.tar.gz"]


def test_a_disk_that_fills_leaves_nothing_behind(twelve: TinyArchive, tmp_path: Path, small_disk: Path):
    path = pack(twelve.s1_folder, tmp_path / "a.tar.gz")
    options = {"contents": small_disk / "contents", "output": small_disk / "members.parquet"}
    with pytest.raises(UserError, match=r"contents: No space left on device: make room and run again$"):
        index_members.run(tar=[path], folder=TOP, **options)
    assert list(small_disk.iterdir()) == []
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    index_members.run(tar=[path], folder=TOP, **options)
    assert (small_disk / "contents").stat().st_size > 12 * 2 * 57_600


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (f"{TOP}/S1A_1/S1A_1_VV.tif", ("S1A_1", "/VV.tif")),
        (f"./{TOP}/S1A_1/S1A_1_VV.tif", ("S1A_1", "/VV.tif")),
        (f"data/{TOP}/S1A_1/S1A_1_labels_metadata.json", ("S1A_1", "/labels_metadata.json")),
        (f"März/\udcff/{TOP}/S1A_1/S1A_1_VV.tif", ("S1A_1", "/VV.tif")),
        ("S1A_1/S1A_1_VV.tif", ("S1A_1", "/VV.tif")),
        (f"{TOP}/S1A/S1A_1/S1A_1_VV.tif", ("S1A/S1A_1", "/VV.tif")),
        (f"{TOP}/scene/S1A_1/S1A_1_VV.tif", None),
        (f"{TOP}/S1A_1/S1A_2_VV.tif", None),
        (f"{TOP}/S1A_1", None),
        (f"{TOP}/README", None),
        (f"/{TOP}/S1A_1/S1A_1_VV.tif", None),
        (f"{TOP}/../S1A_1/S1A_1_VV.tif", None),
        (f"../{TOP}/S1A_1/S1A_1_VV.tif", None),
        (f"{TOP}//S1A_1/S1A_1_VV.tif", None),
        (f"{TOP}/S1A_\0/S1A_\0_VV.tif", None),
        (f"{TOP}/ü/ü_VV.tif", None),
        (f"{TOP}/a/b/c/c_VV.tif", None),
        ("", None),
    ],
)
def test_only_files_of_patches_have_a_place(name: str, place: tuple[str, str] | None):
    assert place_of(name, TOP) == place


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_folders_above_the_archives_own_may_have_any_name(twelve: TinyArchive, tmp_path: Path, form: int):
    plain = pl.read_parquet(listed(pack(twelve.s1_folder, tmp_path / "a.tar", form=form)))
    below = pl.read_parquet(listed(pack(twelve.s1_folder, tmp_path / "b.tar", form=form, top=f"März 2024/{TOP}")))
    assert plain.height == 36
    assert below.drop("offset").equals(plain.drop("offset"))


def test_json_of_the_archive_is_kept_as_it_is(twelve: TinyArchive, tmp_path: Path):
    table = pl.read_parquet(listed(pack(twelve.s1_folder, tmp_path / "a.tar")))
    labels = table.filter(pl.col("file") == "/labels_metadata.json")
    assert labels.height == 12
    assert {json.loads(content)["labels"][0] for content in labels["content"]} == {"Pastures"}
    assert table.filter(pl.col("file") == "/VV.tif")["content"].null_count() == 12


def test_without_a_top_folder_only_names_that_are_text_have_a_place():
    assert place_of("Märchen/x.tif", "") == ("Märchen", "x.tif")
    assert place_of("M\udce4rchen/x.tif", "") is None  # a byte that is no UTF-8
