"""List where in a tar archive the files of the patches are.

The archive is read once, from beginning to end. One that is not compressed is read where it lies from then on. Of a
compressed one the files of the patches are copied, one after the other, into a single file, since there is no way into
the middle of it. It holds 68 GB for the Sentinel-1 patches of BigEarthNet, 97 GB for those of Sentinel-2, and is of no
use once all shards are made.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice, pairwise
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from earthprobe.errors import UserError
from earthprobe.progress import Progress
from earthprobe.storage.files import is_text, replacing
from earthprobe.storage.parquet import with_metadata
from earthprobe.storage.source import MEMBERS, MOST, key_of
from earthprobe.storage.tar import Member, TarReader, opened
from earthprobe.storage.tar_names import is_plain

log = logging.getLogger(__name__)

Row = tuple[str, str, int, int, bytes | None, str | None]

ROW_GROUP = 2**13  # files; 3 MB of labels among them
SMALL = 2**16  # bytes; a file of labels has a thousand


def run(*, tar: Sequence[Path], folder: str, contents: Path | None = None, output: Path) -> None:
    """Lists the files of the patches in a tar archive, in its order. Memory does not grow with the archive.

    What belongs to no patch is passed over, whatever its name: nothing is ever written where a name says.

    Args:
        tar: the archive, or its parts in their order.
        folder: the archive's top folder, as published (``BigEarthNet-S1-v1.0``); empty where every file may belong
            to a patch.
        contents: where the contents of TIFFs go, one after the other; None where the archive is not compressed and
            they are read where they lie.
        output: where each file is, in the columns of earthprobe.storage.source.MEMBERS; JSON files lie in it as they
            are, so that labels can be read again without the archive.

    Raises:
        UserError: the archive is damaged or cut short, or holds no patch.
    """
    if (contents is None) != is_plain(tar):
        raise UserError(
            f"{tar[0]}: `--contents` is needed for an archive that is compressed or in parts, and only then"
        )
    with ExitStack() as stack:
        part = stack.enter_context(replacing(output))
        stream = stack.enter_context(stack.enter_context(replacing(contents)).open("wb")) if contents else None
        reader = stack.enter_context(opened(tar))
        passed_over: Counter[str] = Counter()
        rows = _files_of_patches(reader, folder, stream, passed_over)
        count = 0
        schema = with_metadata(MEMBERS, {"content": str(contents or tar[0])})
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            while group := list(islice(rows, ROW_GROUP)):
                columns = zip(*group, strict=True)
                arrays = [pa.array(column, type=f.type) for column, f in zip(columns, MEMBERS, strict=True)]
                writer.write_table(pa.table(arrays, schema))
                count += len(group)
        for what, times in passed_over.most_common():
            log.info("skipped %d: %s", times, what)
        if not count:
            what = f"patch of {folder}: is archive.kind right?" if folder else "file"
            raise UserError(f"{tar[0]} holds no {what}")
        log.info("%d files of patches", count)


def _files_of_patches(
    reader: TarReader, top: str, contents: IO[bytes] | None, passed_over: Counter[str]
) -> Iterator[Row]:
    progress = Progress(log, reader.total // 2**20, "MiB of the archive")
    done = end = 0
    for member in reader:
        progress.add(reader.done // 2**20 - done)
        done = reader.done // 2**20
        place = place_of(member.name, top)
        if place is None:
            if member.problem != "a folder":
                passed_over[_describe(member)] += 1
            continue
        folder, file = place
        if member.problem:
            yield folder, file, 0, 0, None, f"is {member.problem} in the archive"
        elif member.size > MOST:
            yield folder, file, 0, member.size, None, f"has {member.size} bytes, too large for a file of a patch"
        elif file.endswith(".json") and member.size <= SMALL:
            yield folder, file, 0, member.size, reader.read(member), None
        elif contents:
            contents.write(reader.read(member))
            yield folder, file, end, member.size, None, None
            end += member.size
        else:
            yield folder, file, member.offset, member.size, None, None


def place_of(name: str, top: str) -> tuple[str, str] | None:
    """The folder and the name of a file, as :func:`earthprobe.storage.source.key_of` has them; None for other files.

    The name must be a relative path without ``..``. Where there is a top folder, each name must begin with that of the
    folder it is in, as those of patches and of reBEN's scenes do; the top folder and what lies above it are cut off,
    and an archive may begin with the patches.
    """
    parts = [part for part in name.split("/") if part != "."]
    if ".." in parts or "" in parts or "\0" in name:
        return None
    if not top:
        return key_of("/".join(parts)) if is_text(name) else None
    if top in parts:
        parts = parts[parts.index(top) + 1 :]
    if not all(part.isascii() for part in parts):
        return None
    if len(parts) not in (2, 3) or not all(below.startswith(f"{above}_") for above, below in pairwise(parts)):
        return None
    return key_of("/".join(parts))


def _describe(member: Member) -> str:
    kind = member.problem or "a file"
    outside = member.name.startswith("/") or ".." in member.name.split("/")
    return f"{kind} whose name leads out of the archive" if outside else f"{kind} of no patch"
