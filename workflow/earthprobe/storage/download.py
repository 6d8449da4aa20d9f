"""Downloading a file whose hash is known, going on where a broken transfer ended."""

import fcntl
import hashlib
import http.client
import json
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from earthprobe import __version__
from earthprobe.errors import UserError
from earthprobe.progress import Progress
from earthprobe.storage.files import write_text

log = logging.getLogger(__name__)

T = TypeVar("T")

MIRRORS = "EARTHPROBE_MIRRORS"
"""The variable of the environment that holds the addresses of folders to download from first, separated by spaces."""

CHUNK = 2**20
TIMEOUT = 60.0  # seconds without a byte
PAUSES = (1.0, 5.0, 30.0, 60.0, 120.0)
"""Seconds until the next attempt, after one, two, ... in a row that brought nothing; then the next source is tried."""


def download(urls: Sequence[str], output: Path, algorithm: str, digest: str, *, wait: bool = False) -> None:
    """Downloads a file.

    What has arrived lies beside ``output`` (``.NAME.fetching``), and the next attempt goes on from there. Proxies are
    those of the environment (``https_proxy`` and the like).

    Args:
        urls: where it is, in the order to try.
        output: where it goes, once its hash is the right one.
        algorithm: of the hash, by hashlib's name.
        digest: the hash in hexadecimal digits, or how it begins.
        wait: whether to wait for another process that fetches the same file.

    Raises:
        UserError: no source has it, it is damaged, or the disk has not enough room.
    """
    part = output.with_name(f".{output.name}.fetching")
    output.parent.mkdir(parents=True, exist_ok=True)
    with _locked(part, output, wait):
        if output.exists():
            part.unlink()
            if not _hash(output, algorithm).startswith(digest):
                raise UserError(
                    f"{output} is there, but its {algorithm} is not the published one: delete it and run again"
                )
            return
        reasons = []
        try:
            for url in urls:
                try:
                    _fetch_from(url, part, algorithm, digest)
                except (http.client.HTTPException, ConnectionError, TimeoutError, urllib.error.URLError) as error:
                    reasons.append(f"{url}: {_reason(error)}")
                    log.warning("%s", reasons[-1])
                else:
                    with part.open("rb") as written:  # a crash of the machine leaves no name without its content
                        os.fsync(written.fileno())
                    part.rename(output)
                    _sidecar(part).unlink(missing_ok=True)
                    return
        except OSError as error:
            raise UserError(f"{part}: {error.strerror}: fix that and run again; what was downloaded is kept") from error
        finally:
            if part.exists() and not _size(part):
                part.unlink()
    known = f" ({algorithm} {digest})" if digest else ""
    raise UserError(
        f"{output.name} cannot be fetched: {'; '.join(reasons)}; run again to go on, or put it{known} into"
        f" {output.parent} while nothing is running"
    )


@contextmanager
def _locked(part: Path, output: Path, wait: bool) -> Iterator[None]:
    """Holds the part, so that no other process writes into it."""
    while True:
        with part.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise UserError(f"{output} is being fetched by another process: wait for it, or end it") from None
            if part.exists() and part.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                yield
                return
        # The one that was waited for has moved or removed it.


def _fetch_from(url: str, part: Path, algorithm: str, digest: str) -> None:
    """Fetches what is missing until the hash is right; what a former run left may be of another file."""
    for resumed in (_size(part) > 0, False):
        _transfer_all(url, part)
        log.info("checking the %s of %s", algorithm, url)
        found = _hash(part, algorithm)
        if found.startswith(digest):
            return
        _discard(part)
        if not resumed:
            raise http.client.HTTPException(f"its {algorithm} is {found} and not {digest}, so it was deleted")


def _transfer_all(url: str, part: Path) -> None:
    failures = 0
    most = _size(part)
    while True:
        try:
            if _transfer(url, part):
                return
            error: Exception = http.client.HTTPException("the connection broke off")
        except urllib.error.HTTPError as caught:
            if caught.code < 500 and caught.code not in (408, 429):
                raise  # it will not be there the next time either
            error = caught
        except (urllib.error.URLError, ConnectionError, TimeoutError, http.client.IncompleteRead) as caught:
            error = caught
        failures = 0 if _size(part) > most else failures + 1
        most = max(most, _size(part))
        if failures > len(PAUSES):
            raise error
        log.warning("%s: %s after %d bytes: trying again", url, _reason(error), _size(part))
        time.sleep(PAUSES[max(failures - 1, 0)])


def _transfer(url: str, part: Path) -> bool:
    """Fetches what is still missing, and says whether all is there.

    What has arrived is kept whatever source it came from, since the hash of the whole is known.
    """
    have, expected = _size(part), _expected(part)
    if have and have == expected:
        return True
    headers = {"User-Agent": f"earthprobe/{__version__}"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a web address, as the schema checks
    try:
        response = _of_the_network(lambda: urllib.request.urlopen(request, timeout=TIMEOUT))  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == 416:  # more is here than there is
            _discard(part)
            return False
        raise
    with response:
        if response.status != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0
        rest = response.headers.get("Content-Length")
        total = have + int(rest) if rest else None
        if expected and total and total != expected:
            raise http.client.HTTPException(f"it sends a file of {total} bytes where one of {expected} was begun")
        free = shutil.disk_usage(part.parent).free + (0 if have else _size(part))
        if rest and int(rest) > free:
            raise UserError(
                f"{url} has {int(rest) / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free in {part.parent}"
            )
        if total:
            write_text(_sidecar(part), json.dumps({"total": total}))
        log.info("%s: %s", url, f"{(total or 0) / 1e9:.2f} GB, {have / 1e9:.2f} GB already here")
        progress = Progress(log, (total or 0) // CHUNK, "MiB")
        progress.add(have // CHUNK)
        with part.open("r+b") as stream:
            stream.truncate(have)
            stream.seek(have)
            while chunk := _of_the_network(lambda: response.read(CHUNK)):
                stream.write(chunk)
                progress.add(1)
    return total is None or _size(part) == total


def _of_the_network(ask: Callable[[], T]) -> T:
    """Tells what went wrong with the network from what went wrong with the disk."""
    try:
        return ask()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise ConnectionError(str(error)) from error


def _hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _discard(part: Path) -> None:
    """Empties it: the file itself holds the lock."""
    os.truncate(part, 0)
    _sidecar(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sidecar(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _expected(part: Path) -> int | None:
    """How long the whole file is that was begun."""
    try:
        return int(json.loads(_sidecar(part).read_text(encoding="utf-8"))["total"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server says {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
