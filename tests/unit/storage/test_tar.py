import gzip
import io
import tarfile
from pathlib import Path

import pytest
from earthprobe.errors import UserError
from earthprobe.storage.tar import opened
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.archives import compress

FORMATS = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}
CONTENTS = {"a.tif": b"x" * 1000, f"{'d' * 90}/{'f' * 90}.tif": b"y" * 512, "empty.json": b"", "ü.json": b"z"}
LONG = {f"{'long' * 40}/{'e' * 160}.tif": b"w" * 513}


def packed(form: str, contents: dict[str, bytes] = CONTENTS) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=FORMATS[form]) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def entries(*files: Path) -> list[tuple[str, int, int, str | None]]:
    with opened(files) as reader:
        return [tuple(member) for member in reader]


def contents(*files: Path) -> dict[str, bytes]:
    with opened(files) as reader:
        return {member.name: reader.read(member) for member in reader}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.tar.zst"])
@pytest.mark.parametrize("form", FORMATS)
def test_members_are_those_that_tarfile_finds(tmp_path: Path, form: str, name: str):
    wanted = CONTENTS if form == "ustar" else CONTENTS | LONG
    plain = tmp_path / "plain"
    plain.write_bytes(packed(form, wanted))
    with tarfile.open(plain) as archive:
        expected = [(m.name, m.offset_data, m.size, None) for m in archive]
    path = compress(plain, tmp_path / name)
    assert entries(path) == expected
    assert contents(path) == wanted


def test_parts_are_read_as_one(tmp_path: Path):
    whole = gzip.compress(packed("pax"))
    parts = [tmp_path / "a.tar.gzaa", tmp_path / "a.tar.gzab", tmp_path / "a.tar.gzac"]
    for path, content in zip(parts, (whole[:100], whole[100:101], whole[101:]), strict=True):
        path.write_bytes(content)
    assert contents(*parts) == CONTENTS
    with pytest.raises(UserError, match="a.tar.gzaa with its 1 further parts is damaged"):
        contents(*parts[:2])


def test_what_is_no_file_is_named_and_never_followed(tmp_path: Path):
    path = tmp_path / "a.tar"
    kinds = {
        tarfile.SYMTYPE: "a symbolic link",
        tarfile.LNKTYPE: "a hard link",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
        tarfile.FIFOTYPE: "a pipe",
        tarfile.DIRTYPE: "a folder",
    }
    with tarfile.open(path, "w") as archive:
        for kind in kinds:
            member = tarfile.TarInfo("../../etc/x")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("last"))
    assert [problem for _, _, _, problem in entries(path)] == [*kinds.values(), None]


def test_a_damaged_header_is_not_the_end(tmp_path: Path):
    content = bytearray(packed("ustar"))
    content[1536 + 3] ^= 1
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    with tarfile.open(path) as archive:
        assert len(archive.getmembers()) == 1  # what tarfile makes of it, without a word
    with pytest.raises(UserError, match="a.tar is damaged: after a.tif comes no header of tar"):
        entries(path)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.zst"])
def test_an_archive_that_is_cut_short_is_an_error_wherever(tmp_path: Path, name: str):
    plain = tmp_path / "plain"
    plain.write_bytes(packed("gnu"))
    whole = compress(plain, tmp_path / name).read_bytes()
    end = whole.rstrip(b"\0") if name == "a.tar" else whole  # of the zeros at the end, a tar needs one block
    cut = tmp_path / f"cut-{name}"
    for length in range(0, len(end), max(1, len(end) // 150)):
        cut.write_bytes(whole[:length])
        with pytest.raises(UserError, match="is damaged: .*; fetch it again$"):
            contents(cut)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.zst"])
def test_something_behind_the_end_is_an_error(tmp_path: Path, name: str):
    plain = tmp_path / "plain"
    plain.write_bytes(packed("gnu"))
    path = compress(plain, tmp_path / name)
    path.write_bytes(path.read_bytes() + b"something else")
    with pytest.raises(UserError, match="is damaged: "):
        entries(path)


def test_a_size_that_does_not_fit_is_an_error(tmp_path: Path):
    member = tarfile.TarInfo("big.tif")
    member.size = 2**60
    path = tmp_path / "a.tar"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path.write_bytes(member.tobuf(form) + b"x" * 2048)
        with pytest.raises(UserError, match=r"it ends at byte \d+, in or after big.tif"):
            entries(path)


@pytest.mark.parametrize("digits", ["-5", "99999999999999999999", "1e3", ""])
def test_a_pax_size_that_is_none_is_an_error(tmp_path: Path, digits: str):
    member = tarfile.TarInfo("x.tif")
    member.pax_headers = {"size": digits}
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024)
    with pytest.raises(UserError, match="a.tar is damaged: a pax header cannot be read; fetch it again$"):
        entries(path)


def with_pax_header(content: bytes) -> bytes:
    """An archive of a file that a pax header describes."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(content)
    padded = content + bytes(-len(content) % 512)
    return header.tobuf(tarfile.USTAR_FORMAT) + padded + tarfile.TarInfo("x.tif").tobuf() + bytes(1024)


@pytest.mark.parametrize(
    "record",
    [
        b"999 path=x\n",
        b"0 path=x\n",
        b"2 path=x\n",
        b"10 pathxx\n",
        b"x path=x\n",
        b"path=x\n",
        b"damaged",
        b"\xff\xfe",
    ],
)
def test_a_damaged_record_of_a_pax_header_is_an_error(tmp_path: Path, record: bytes):
    path = tmp_path / "a.tar"
    for before in (b"", b"13 comment=a\n"):
        path.write_bytes(with_pax_header(before + record))
        with pytest.raises(UserError, match="a.tar is damaged: a pax header cannot be read; fetch it again$"):
            entries(path)
    path.write_bytes(with_pax_header(b"14 path=y.tif\n"))
    assert [name for name, *_ in entries(path)] == ["y.tif"]


def test_a_long_pax_header_is_read(tmp_path: Path):
    """Some tools put more there than a name."""
    member = tarfile.TarInfo("x.tif")
    member.size = 3
    member.pax_headers = {"comment": "c" * 100_178}
    content = member.tobuf(tarfile.PAX_FORMAT)
    assert b"100194 comment=" in content
    path = tmp_path / "a.tar"
    path.write_bytes(content + b"abc" + bytes(509 + 1024))
    assert contents(path) == {"x.tif": b"abc"}


def test_a_header_that_is_too_long_is_an_error(tmp_path: Path):
    path = tmp_path / "a.tar"
    path.write_bytes(with_pax_header(b"16777216 comment=" + b"c" * (2**24 - 18) + b"\n"))
    assert [name for name, *_ in entries(path)] == ["x.tif"]
    path.write_bytes(with_pax_header(b"16777217 comment=" + b"c" * (2**24 - 17) + b"\n"))
    with pytest.raises(UserError, match="an extended header of 16777217 bytes is too long to be one"):
        entries(path)


def test_sparse_files_are_refused(tmp_path: Path):
    member = tarfile.TarInfo("x.tif")
    member.pax_headers = {"GNU.sparse.major": "1"}
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024)
    with pytest.raises(UserError, match="sparse files"):
        entries(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000))
def test_whatever_bytes_arrive_the_error_is_ours(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.mktemp("bytes") / "a.tar"
    path.write_bytes(content)
    with pytest.raises(UserError):
        entries(path)


@settings(max_examples=300, deadline=None)
@given(form=st.sampled_from(sorted(FORMATS)), place=st.floats(0, 1), bit=st.integers(0, 7))
def test_a_flipped_bit_never_hides_a_member(
    tmp_path_factory: pytest.TempPathFactory, form: str, place: float, bit: int
):
    content = bytearray(packed(form))
    content[int(place * (len(content) - 1))] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "a.tar"
    path.write_bytes(content)
    try:
        found = contents(path)
    except UserError:
        return
    # No checksum guards contents, and long names are contents: but all members are there, each as long as it was.
    assert [len(content) for content in found.values()] == [len(content) for content in CONTENTS.values()]
