from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from earthprobe.errors import UserError
from earthprobe.storage.parquet import with_metadata
from earthprobe.storage.source import MEMBERS, Folder, Packed, folders_of, open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An unpacked archive of one patch, two folders deep."""
    patch = tmp_path / "archive/scene/S1A_1"
    patch.mkdir(parents=True)
    (patch / "S1A_1_VV.tif").write_bytes(b"pixels")
    (tmp_path / "archive/README").touch()
    return tmp_path / "archive"


@pytest.fixture
def members(tmp_path: Path) -> Path:
    """The same in an archive, among other things."""
    content = tmp_path / "some.tar"
    content.write_bytes(b"____pixels")
    rows = [
        ("scene/S1A_1", "/VV.tif", 0, 4, None, None),
        ("scene/S1A_1", "/VV.tif", 4, 6, None, None),
        ("scene/S1A_1", "/labels.json", 0, 2, b"{}", None),
        ("scene/S1A_1", "/VH.tif", 0, 0, None, "is a symbolic link in the archive"),
        ("scene/S1A_1", "/HH.tif", 4, 100, None, None),
        ("S1A_2", "/VV.tif", 4, 6, None, None),
    ]
    table = pa.table([pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), MEMBERS, strict=True)], MEMBERS)
    path = tmp_path / "members.parquet"
    pq.write_table(table.cast(with_metadata(MEMBERS, {"content": str(content)})), path)
    return path


PATCH = "scene/S1A_1/S1A_1_"
FILES = {f"{PATCH}{file}" for file in ("VV.tif", "VH.tif", "HH.tif", "labels.json")}


def test_a_folder_and_an_archive_read_the_same(folder: Path, members: Path):
    for paths in ([folder], [members]):
        source = open_source(paths, FILES)
        assert isinstance(source, Folder if paths == [folder] else Packed)
        assert source.read(f"{PATCH}VV.tif") == b"pixels"
        with pytest.raises(ValueError, match=r"^S1A_1_B01.tif is missing$"):
            source.read(f"{PATCH}B01.tif")
        with pytest.raises(ValueError, match=r"^S1A_3_VV.tif is missing$"):
            source.read("S1A_3/S1A_3_VV.tif")
        assert source.has(f"{PATCH}VV.tif")
        assert not source.has(f"{PATCH}B01.tif")
        assert not source.has("S1A_3/S1A_3_VV.tif")


def test_the_last_of_several_files_of_a_name_counts(members: Path):
    assert Packed([members], FILES).read(f"{PATCH}VV.tif") == b"pixels"


def test_a_small_file_needs_no_archive(members: Path, tmp_path: Path):
    (tmp_path / "some.tar").unlink()
    assert Packed([members], {f"{PATCH}labels.json"}).read(f"{PATCH}labels.json") == b"{}"
    with pytest.raises(UserError, match=r"some.tar, which .*members.parquet belongs to, cannot be read: No such file"):
        Packed([members], FILES)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("VH.tif", "S1A_1_VH.tif is a symbolic link in the archive"),
        ("HH.tif", "S1A_1_HH.tif cannot be read: the archive is shorter than when it was indexed"),
    ],
)
def test_what_cannot_be_read_is_a_reason(members: Path, file: str, reason: str):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        Packed([members], FILES).read(f"{PATCH}{file}")


def test_a_folder_in_the_place_of_a_file_is_a_reason(folder: Path):
    (folder / "scene/S1A_1/S1A_1_VH.tif").mkdir()
    with pytest.raises(ValueError, match="^S1A_1_VH.tif cannot be read: Is a directory$"):
        Folder(folder).read(f"{PATCH}VH.tif")


def test_a_file_whose_name_has_other_letters_is_told(folder: Path):
    patch = folder / "scene/S1A_1"
    (patch / "S1A_1_VV.tif").rename(patch / "S1A_1_VV.TIF")
    source = Folder(folder)
    with pytest.raises(ValueError, match=r"^S1A_1_VV.tif is missing \(found S1A_1_VV.TIF\)$"):
        source.read(f"{PATCH}VV.tif")
    with pytest.raises(ValueError, match=r"^S1A_1_VH.tif is missing$"):
        source.read(f"{PATCH}VH.tif")


def test_a_huge_file_is_not_read_into_memory(folder: Path):
    with (folder / "scene/S1A_1/S1A_1_VV.tif").open("wb") as file:
        file.truncate(2**36)  # sparse
    with pytest.raises(
        ValueError, match=r"^S1A_1_VV.tif has more than 16777216 bytes, too large for a file of a patch"
    ):
        Folder(folder).read(f"{PATCH}VV.tif")


@pytest.mark.parametrize(("depth", "found"), [(1, ["scene"]), (2, ["scene/S1A_1"])])
def test_patches_lie_so_many_folders_deep(folder: Path, depth: int, found: list[str]):
    assert folders_of([folder], depth) == found


def test_a_patch_of_two_archives_is_listed_twice(members: Path):
    assert folders_of([members], 1) == ["S1A_2"]
    assert folders_of([members], 2) == ["scene/S1A_1"]
    assert folders_of([members, members], 1) == ["S1A_2", "S1A_2"]
    assert folders_of([members, members], 2) == ["scene/S1A_1", "scene/S1A_1"]
