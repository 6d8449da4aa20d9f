"""Writing files so that nothing half-written ever looks finished."""

import csv
import errno
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earthprobe.errors import UserError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path of this process beside ``target`` and renames it to ``target`` on success.

    The name carries host and process, so that two jobs never write into one file. Temporary files that an
    earlier, killed job left for the same target are removed first; if that job is in fact still alive, it
    fails in the end instead of overwriting the newer result. So this is entered before the work, not after.

    Raises:
        UserError: another job has taken over in the meantime, or the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{target.name}.*.part"):
        stale.unlink(missing_ok=True)
    part = target.parent / f".{target.name}.{socket.gethostname()}-{os.getpid()}.part"
    part.touch(exist_ok=False)
    mine = part.stat().st_ino
    try:
        yield part
        try:
            taken_over = part.stat().st_ino != mine
        except FileNotFoundError:
            taken_over = True
        if taken_over:
            raise UserError(f"{target}: another job has begun to write it, so this one stops")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{target}: {os.strerror(error.errno)}: make room and run again") from error
        raise


def write_text(target: Path, text: str) -> None:
    """Writes a text file as a whole or not at all."""
    with replacing(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """What :func:`write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(target: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file with a header."""
    with replacing(target) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def is_text(name: str) -> bool:
    """Whether the name of a file is UTF-8; Python has other bytes of it as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
