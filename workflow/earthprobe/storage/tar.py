"""Reading a tar archive once, from its first byte to its last, compressed or not.

Nothing is ever unpacked. Python's tarfile takes a damaged header for the end of the archive, and half of the patches
would be missing without a word; here whatever is not a whole archive is an error that says where.
"""

import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast

import pyarrow as pa
from isal import igzip, isal_zlib

from earthprobe.errors import UserError
from earthprobe.storage.tar_names import tar_name

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 512
CHUNK = 2**20
LONGEST_HEADER = 2**24
"""Bytes of an extended header, which may hold more than a name: no tool writes a longer one."""

KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
}
"""What has no bytes, whatever its header says."""

SPARSE = "it holds sparse files, which are not read: pack it again without --sparse"


class Member(NamedTuple):
    """An entry of an archive.

    Attributes:
        name: its path, as the archive has it.
        offset: where its bytes begin, in the archive once it is not compressed.
        size: how many they are.
        problem: what it is, where it is no file ("a symbolic link", "a folder").
    """

    name: str
    offset: int
    size: int
    problem: str | None


class TarReader:
    """Hands out the members of an archive one after the other; each can be read until the next is asked for."""

    def __init__(self, stream: IO[bytes], raw: IO[bytes], total: int, where: str) -> None:
        """Begins at the start.

        Args:
            stream: the archive as it is without compression.
            raw: the file as it lies on the disk.
            total: how many bytes it has.
            where: what an error calls it.
        """
        self.total = total
        self._stream, self._raw = stream, raw
        self._seekable = stream is raw and raw.seekable()
        self._where = where
        self._at = 0

    def __iter__(self) -> Iterator[Member]:
        """Yields the members in their order.

        Raises:
            UserError: the archive is cut short or damaged, or something else follows it.
        """
        name: str | None = None
        size: int | None = None
        last = "its start"
        while True:
            try:
                header = tarfile.TarInfo.frombuf(self._exactly(BLOCK, last), "utf-8", "surrogateescape")
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # a block of zeros: the end
                self._skip_zeros()
                return
            except tarfile.HeaderError as error:
                raise self._damaged(f"after {last} comes no header of tar ({error})") from None
            if header.size < 0:
                raise self._damaged(f"{header.name} has a size below 0")
            match header.type:
                case tarfile.GNUTYPE_LONGNAME:
                    name = self._content(header).rstrip(b"\0").decode("utf-8", "surrogateescape")
                    continue
                case tarfile.GNUTYPE_LONGLINK | tarfile.XGLTYPE:
                    self._content(header)
                    continue
                case tarfile.XHDTYPE | tarfile.SOLARIS_XHDTYPE:
                    records = self._records(self._content(header))
                    name = records.get("path", name)
                    size = self._number(records["size"]) if "size" in records else size
                    if any(key.startswith("GNU.sparse") for key in records):
                        raise self._damaged(SPARSE)
                    continue
                case tarfile.GNUTYPE_SPARSE:
                    raise self._damaged(SPARSE)
            last = header.name if name is None else name
            problem = KINDS.get(header.type)
            length = 0 if problem else header.size if size is None else size
            member = Member(last, self._at, length, problem)
            yield member
            self._skip(member.offset + length + -length % BLOCK - self._at, last)
            name = size = None

    @property
    def done(self) -> int:
        """How many of the ``total`` bytes are read."""
        return self._raw.tell()

    def read(self, member: Member) -> bytes:
        """The bytes of the member that was handed out last."""
        return self._exactly(member.size, member.name)

    def _exactly(self, count: int, name: str) -> bytes:
        content = self._stream.read(count)
        self._at += len(content)
        if len(content) < count:
            raise self._damaged(f"it ends at byte {self._at}, in or after {name}")
        return content

    def _skip(self, count: int, name: str) -> None:
        if self._seekable:
            self._at = min(self._at + count, self.total)
            if self._stream.seek(self._at) == self.total and count:
                raise self._damaged(f"it ends at byte {self._at}, in or after {name}")
            return
        while count:
            count -= len(self._exactly(min(count, CHUNK), name))

    def _content(self, header: tarfile.TarInfo) -> bytes:
        if header.size > LONGEST_HEADER:
            raise self._damaged(f"an extended header of {header.size} bytes is too long to be one")
        content = self._exactly(header.size, "a long name")
        self._skip(-header.size % BLOCK, "a long name")
        return content

    def _records(self, content: bytes) -> dict[str, str]:
        """The records ``length key=value`` of a pax header."""
        records = {}
        while content and content.strip(b"\0"):
            digits, _, _ = content.partition(b" ")
            length = self._number(digits.decode("ascii", "replace"))
            key, equals, value = content[len(digits) + 1 : length - 1].partition(b"=")
            if not len(digits) < length <= len(content) or not equals:
                raise self._damaged("a pax header cannot be read")
            records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
            content = content[length:]
        return records

    def _number(self, digits: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", digits):
            raise self._damaged("a pax header cannot be read")
        return int(digits)

    def _skip_zeros(self) -> None:
        while rest := self._stream.read(CHUNK):
            if rest.strip(b"\0"):
                raise self._damaged(f"after its end, at byte {self._at}, something else follows")
            self._at += len(rest)

    def _damaged(self, what: str) -> UserError:
        return UserError(f"{self._where} is damaged: {what}; fetch it again")


@contextmanager
def opened(files: Sequence[Path]) -> Iterator[TarReader]:
    """Opens an archive, whose parts are read as one file where there are several.

    Gzip is decompressed by ISA-L, which is faster than Python's zlib (docs/performance.md), zstandard by Arrow.

    Raises:
        UserError: a file cannot be read, or what it was compressed with says that it is damaged.
    """
    where = str(files[0]) if len(files) == 1 else f"{files[0]} with its {len(files) - 1} further parts"
    total = sum(file.stat().st_size for file in files)
    with ExitStack() as stack:
        raw: IO[bytes] = stack.enter_context(
            files[0].open("rb") if len(files) == 1 else cast(IO[bytes], BufferedReader(_Joined(files), CHUNK))
        )
        stream = raw
        try:
            match str(tar_name(files[0])).rsplit(".", 1)[-1]:
                case "gz" | "tgz":
                    stream = cast(IO[bytes], stack.enter_context(igzip.IGzipFile(fileobj=raw)))  # type: ignore[no-untyped-call]
                case "zst":
                    decoded = _Decompressed(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"))
                    stream = cast(IO[bytes], BufferedReader(decoded, CHUNK))
            yield TarReader(stream, raw, total, where)
        except (isal_zlib.error, EOFError, OSError) as error:  # type: ignore[misc]  # isal's stub has no exception there
            if getattr(error, "errno", None):
                raise  # not of the decoders: of the disk
            if "too much memory" in str(error):
                raise UserError(
                    f"{where} was packed by zstd --long, which is not read: pack it again without"
                ) from error
            raise UserError(f"{where} is damaged: {str(error).splitlines()[0]}; fetch it again") from error


class _Joined(RawIOBase):
    """Files one after the other, as if they were one."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._open: IO[bytes] | None = None
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        while True:
            if self._open is None:
                if not self._files:
                    return 0
                self._open = self._files.pop(0).open("rb", buffering=0)
            if count := cast(RawIOBase, self._open).readinto(buffer):
                self._at += count
                return count
            self._open.close()
            self._open = None

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        super().close()


class _Decompressed(RawIOBase):
    """What Arrow decompresses, as a file of Python."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        content = self._stream.read(memoryview(buffer).nbytes)
        memoryview(buffer).cast("B")[: len(content)] = content
        return len(content)
