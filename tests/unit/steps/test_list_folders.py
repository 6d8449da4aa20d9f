"""The table of an archive with a folder a class."""

import os
from pathlib import Path

import pytest
from earthprobe.errors import UserError
from earthprobe.steps import list_folders
from earthprobe.storage.files import read_csv


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """EuroSAT's layout: a folder a class, names with the class and a number."""
    for label, count in (("Forest", 3), ("River", 2)):
        folder = tmp_path / "EuroSAT_MS" / label
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / f"{label}_{number}.tif").touch()
        (folder / "notes.txt").touch()
    return tmp_path / "EuroSAT_MS"


def lists(folder: Path, **names: str) -> dict[str, list[Path]]:
    """Files of names, as torchgeo has them of EuroSAT: they end in .jpg, whatever the pictures end in."""
    found = {}
    for split, text in names.items():
        found[split] = [folder / f"eurosat-{split}.txt"]
        found[split][0].write_text(text)
    return found


def test_each_picture_is_a_row(root: Path, tmp_path: Path):
    list_folders.run(root=root, output=tmp_path / "t.csv")
    rows = read_csv(tmp_path / "t.csv")
    assert list(rows[0]) == ["id", "labels", "path"]
    assert [row["id"] for row in rows] == ["Forest_1", "Forest_2", "Forest_3", "River_1", "River_2"]
    assert rows[4] == {"id": "River_2", "labels": "River", "path": "River/River_2.tif"}


def test_splits_come_from_lists(root: Path, tmp_path: Path):
    given = lists(tmp_path, train="Forest_1.jpg\nRiver_2.jpg\n", val="Forest_3.jpg", test="River_1.jpg\n")
    list_folders.run(root=root, **given, output=tmp_path / "t.csv")
    splits = {row["id"]: row["split"] for row in read_csv(tmp_path / "t.csv")}
    assert splits == {"Forest_1": "train", "Forest_2": "", "Forest_3": "val", "River_1": "test", "River_2": "train"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"train": "Lake_1.jpg"}, r"eurosat-train.txt names Lake_1.jpg, which no folder of .* has$"),
        ({"train": "River_1.jpg", "test": "River_1"}, "eurosat-test.txt names River_1, which is of train, too$"),
    ],
)
def test_lists_that_do_not_fit_are_said(root: Path, tmp_path: Path, names: dict[str, str], message: str):
    with pytest.raises(UserError, match=message):
        list_folders.run(root=root, **lists(tmp_path, **names), output=tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_folders_that_cannot_be_are_said(root: Path, tmp_path: Path):
    (root / "River/Forest_1.tif").touch()
    with pytest.raises(UserError, match="River and Forest both have a picture Forest_1$"):
        list_folders.run(root=root, output=tmp_path / "t.csv")
    with pytest.raises(UserError, match="Forest has no folders with files that end in .tif"):
        list_folders.run(root=root / "Forest", output=tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_names_and_lists_that_are_no_text_are_said(root: Path, tmp_path: Path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfForest_1.jpg\n")
    list_folders.run(root=root, train=[tmp_path / "list.txt"], output=tmp_path / "t.csv")
    assert "Forest_1,Forest,train" in (tmp_path / "t.csv").read_text()
    (tmp_path / "list.txt").write_bytes(b"For\xeat_1.jpg\n")
    with pytest.raises(UserError, match="list.txt is not a text file in UTF-8"):
        list_folders.run(root=root, train=[tmp_path / "list.txt"], output=tmp_path / "u.csv")
    open(os.fsencode(root) + b"/Forest/F\xea.jpg", "wb").close()  # noqa: PTH123 - a name that is no text
    with pytest.raises(UserError, match=r"the name 'Forest/F\\udcea.jpg' is not UTF-8: rename it"):
        list_folders.run(root=root, output=tmp_path / "u.csv")
