import hashlib
import lzma
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from earthprobe.archives.bigearthnet_v1 import entries, folder_of, read_split
from earthprobe.archives.interface import SPLITS, Entry
from earthprobe.errors import UserError
from earthprobe.steps.index_patches import Splits
from hypothesis import given, settings
from hypothesis import strategies as st
from torchgeo.datasets import BigEarthNet

from tests.conftest import SHARED, needs


def test_official_split_files(tmp_path: Path):
    folder = needs(SHARED / "bigearthnet-v1-splits")
    paths = {}
    for split in SPLITS:
        paths[split] = tmp_path / f"{split}.csv"
        paths[split].write_bytes(lzma.decompress((folder / f"bigearthnet-{split}.csv.xz").read_bytes()))
        digest = hashlib.md5(paths[split].read_bytes(), usedforsecurity=False).hexdigest()
        assert digest == BigEarthNet.splits_metadata[split]["md5"]
    splits = Splits()
    for entry in entries(list(paths.values())):
        splits.add(entry)
    counts = Counter(entry.split for entry in splits.members.values())
    assert counts == {"train": 269_695, "val": 123_723, "test": 125_866}
    assert splits.mismatches == []


def test_reben_splits_are_refused(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_text("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57,S1A_x\n")
    with pytest.raises(UserError, match=r"train.csv, line 1: .* is a name of reBEN"):
        list(read_split(path))


def test_a_malformed_split_file_is_named(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_text("S2A_a,S1A_a\n\npatch,labels\n")
    with pytest.raises(UserError, match=r"train.csv, line 3: expected `s2 name,s1 name`"):
        list(read_split(path))


S2, S1 = "S2A_MSIL2A_20170613T101031_{}_39", "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_{}_39"
PAIRS = [(S2.format(number), S1.format(number)) for number in range(3)]
NBSP = "\u00a0"


@settings(max_examples=200, deadline=None)
@given(
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
    between=st.sampled_from([",", ";", "\t", " , ", "; ", "\t,\t", f"{NBSP};{NBSP}", " \t "]),
    around=st.sampled_from(["", " ", "\t", NBSP]),
    quote=st.sampled_from(["", '"']),
    end=st.sampled_from(["\n", "\r\n", "\n\n", f"\r\n {NBSP}\t\r\n"]),
)
def test_what_a_spreadsheet_makes_of_a_split_file_is_read(
    tmp_path_factory: pytest.TempPathFactory, encoding: str, between: str, around: str, quote: str, end: str
):
    lines = [between.join(f"{quote}{name}{quote}" for name in pair) for pair in PAIRS]
    text = end.join(f"{around}{line}{around}" for line in ["", *lines, ""])
    mark = "\ufeff" if encoding[-2:] in ("le", "be") else ""
    path = tmp_path_factory.getbasetemp() / "train.csv"
    path.write_bytes((mark + text).encode(encoding))
    assert list(read_split(path)) == PAIRS


def test_spaces_inside_quotes_are_no_part_of_a_name(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_text(f'" {PAIRS[0][0]} "," {PAIRS[0][1]}{NBSP}"\n', encoding="utf-8")
    assert list(read_split(path)) == PAIRS[:1]


@pytest.mark.parametrize("header", ["s2,s1", "s2_name;s1_name", "patch", "S2,S1,split", "patch_id\ts1_name"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_header_is_refused(tmp_path: Path, header: str, encoding: str):
    path = tmp_path / "train.csv"
    path.write_text(f"{header}\n" + ",".join(PAIRS[0]), encoding=encoding)
    with pytest.raises(UserError) as caught:
        list(read_split(path))
    expected = f"{path}, line 1: expected `s2 name,s1 name`, found {header!r}: take the header out"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    "line",
    [S2.format(9), S1.format(9), f"{S1.format(9)},{S2.format(9)}", f"{S2.format(9)},{S1.format(9)},x", ",", "x" * 999],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str):
    path = tmp_path / "train.csv"
    good = "".join(f"{','.join(pair)}\r\n" for pair in PAIRS)
    path.write_text(f"{good}\r\n{line}\r\n{good}", newline="")
    with pytest.raises(UserError) as caught:
        list(read_split(path))
    assert str(caught.value) == f"{path}, line 5: expected `s2 name,s1 name`, found {line[:80]!r}"


name = st.sampled_from([name for pair in PAIRS for name in pair])
text = st.lists(st.one_of(name, st.sampled_from(list(",;\t\"' \r\n\0\u00a0\u0085\u2028\ufeff")), st.text(max_size=5)))
encoded = st.builds(
    lambda text, encoding: "".join(text).encode(encoding, "replace"),
    text,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-32"]),
)
binary = st.builds(
    bytes.__add__, st.sampled_from([b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"]), st.binary(max_size=200)
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(encoded, binary))
def test_any_content_is_pairs_of_names_or_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "train.csv"
    path.write_bytes(content)
    try:
        pairs = list(read_split(path))
    except UserError:
        return
    for s2_id, patch_id in pairs:
        for found, sensor in ((s2_id, "S2"), (patch_id, "S1")):
            assert found.startswith(sensor)
            assert found == found.strip()
            assert not set(found) & set(",;\t\r\n")


def test_a_compressed_split_file_is_named(tmp_path: Path):
    path = tmp_path / "train.csv"
    path.write_bytes(lzma.compress(b"S2A_a,S1A_a"))
    with pytest.raises(UserError, match=r"train.csv is not a text file: if it is compressed, unpack it$"):
        list(read_split(path))


def test_lists_are_those_of_train_val_and_test(tmp_path: Path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(f"S2A_{path.name},S1A_{path.name}\n")
    assert list(entries(paths)) == [
        Entry("S1A_a", "S2A_a", "train", None),
        Entry("S1A_b", "S2A_b", "val", None),
        Entry("S1A_c", "S2A_c", "test", None),
    ]


def test_real_patches_lie_where_they_should(v1_sample: Path):
    lists = [v1_sample / f"bigearthnet-{split}.csv" for split in SPLITS]
    for sensor, top, patches in (("s1", "BigEarthNet-S1-v1.0", 129), ("s2", "BigEarthNet-v1.0", 6)):
        folders = {folder_of(sensor, entry.patch_id, entry.s2_id) for entry in entries(lists)}
        assert len(folders) == 129
        assert sum((v1_sample / top / folder).is_dir() for folder in folders) == patches


def test_patches_take_their_reben_split_through_their_v1_names():
    found = list(entries([needs(SHARED / "reben-metadata" / "metadata.parquet")]))
    counts = Counter(entry.split for entry in found)
    assert counts == {"train": 237_871, "val": 122_342, "test": 119_825}  # reBEN's own, all of whose patches v1 has
    first = next(entry for entry in found if entry.patch_id == "S1B_IW_GRDH_1SDV_20170612T165809_33UUP_26_57")
    assert (first.s2_id, first.split, first.country) == ("S2A_MSIL2A_20170613T101031_26_57", "test", "Austria")


def test_the_country_of_official_patches_is_rebens_where_it_has_them(tmp_path: Path):
    names = ["S2A_MSIL2A_20170613T101031_26_57", "S2A_MSIL2A_20170613T101031_0_45"]
    lists = []
    for split in SPLITS:
        lists.append(tmp_path / f"{split}.csv")
        lists[-1].write_text("".join(f"{name},S1A_{split}_{name[-2:]}\n" for name in names))
    table = needs(SHARED / "reben-metadata" / "metadata.parquet")
    found = [entry.country for entry in entries([*lists, table])]
    assert found == ["Austria", "Finland"] * 3
    assert {entry.country for entry in entries(lists)} == {None}


def test_a_table_that_is_not_rebens_is_refused(tmp_path: Path):
    row = {"s1_name": ["S1A_x"], "s2v1_name": ["S2A_x"], "split": ["half"], "country": ["x"]}
    pl.DataFrame(row).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match="'half' is not a split: expected train, validation, test"):
        list(entries([tmp_path / "t.parquet"]))
