"""fetch: downloads a published file, going on where a broken transfer ended, and checks it."""

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from earthprobe import __version__
from earthprobe.errors import UserError
from earthprobe.files import write_text
from earthprobe.progress import Progress

log = logging.getLogger(__name__)

T = TypeVar("T")

CHUNK = 2**20
TIMEOUT = 60.0  # seconds without a byte
PAUSES = (1.0, 5.0, 30.0, 60.0, 120.0)
"""Seconds until the next attempt, after one, two, ... in a row that brought nothing; then the next mirror is tried."""


class Published(NamedTuple):
    """A file of a published archive."""

    url: str
    md5: str


V1 = "https://zenodo.org/records/12687186/files/{}"
REBEN = "https://zenodo.org/records/10891137/files/{}"
SPLITS = "https://git.tu-berlin.de/rsim/BigEarthNet-MM_19-classes_models/-/raw/9a5be07346ab0884b2d9517475c27ef9db9b5104/splits/{}"
"""Where torchgeo (BigEarthNet.splits_metadata) has the split files from."""

FILES = {
    "BigEarthNet-S1-v1.0.tar.gz": Published(
        V1.format("BigEarthNet-S1-v1.0.tar.gz"), "94ced73440dea8c7b9645ee738c5a172"
    ),
    "BigEarthNet-S2-v1.0.tar.gz": Published(
        V1.format("BigEarthNet-S2-v1.0.tar.gz"), "5a64e9ce38deb036a435a7b59494924c"
    ),
    "bigearthnet-train.csv": Published(SPLITS.format("train.csv"), "623e501b38ab7b12fe44f0083c00986d"),
    "bigearthnet-val.csv": Published(SPLITS.format("val.csv"), "22efe8ed9cbd71fa10742ff7df2b7978"),
    "bigearthnet-test.csv": Published(SPLITS.format("test.csv"), "697fb90677e30571b9ac7699b7e5b432"),
    "BigEarthNet-S1.tar.zst": Published(REBEN.format("BigEarthNet-S1.tar.zst"), "a55eaa2cdf6a917e296bd6601ec1e348"),
    "BigEarthNet-S2.tar.zst": Published(REBEN.format("BigEarthNet-S2.tar.zst"), "2245ed2d1a93f6ce637d839bc856396e"),
    "metadata.parquet": Published(REBEN.format("metadata.parquet"), "55687065e77b6d0b0f1ff604a6e7b49c"),
    "metadata_for_patches_with_snow_cloud_or_shadow.parquet": Published(
        REBEN.format("metadata_for_patches_with_snow_cloud_or_shadow.parquet"), "fe31856f4986d446c9468b59d6387c91"
    ),
}


def fetch(file: str, mirrors: Sequence[str], output: Path) -> None:
    """Downloads a file of a published archive.

    What has arrived lies beside ``output`` (``.NAME.fetching``), and the next attempt goes on from there. Proxies are
    those of the environment (``https_proxy`` and the like).

    Args:
        file: its published name, one of :data:`FILES`.
        mirrors: addresses of folders that hold the file, too, and are tried first.
        output: where it goes, once its md5 is the published one.

    Raises:
        UserError: no source has it, it is damaged, or the disk has not enough room.
    """
    published = FILES[file]
    part = output.with_name(f".{output.name}.fetching")
    output.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{output} is being fetched by another process: wait for it, or end it") from None
        if output.exists():
            part.unlink()
            if _md5(output) != published.md5:
                raise UserError(f"{output} is there, but its md5 is not the published one: delete it and run again")
            return
        reasons = []
        try:
            for url in [*(f"{mirror.rstrip('/')}/{file}" for mirror in mirrors), published.url]:
                try:
                    _fetch_from(url, part, published.md5)
                except (http.client.HTTPException, ConnectionError, TimeoutError, urllib.error.URLError) as error:
                    reasons.append(f"{url}: {_reason(error)}")
                    log.warning("%s", reasons[-1])
                else:
                    part.rename(output)
                    _sidecar(part).unlink(missing_ok=True)
                    return
        except OSError as error:
            raise UserError(f"{part}: {error.strerror}: mend that and run again; what has arrived is kept") from error
        finally:
            if part.exists() and not _size(part):
                part.unlink()
    raise UserError(
        f"{file} cannot be fetched: {'; '.join(reasons)}; run again to go on, or put it into {output.parent}"
        " when no run is at work"
    )


def _fetch_from(url: str, part: Path, md5: str) -> None:
    """Fetches what is missing until the md5 is right; what a former run left may be of another file."""
    for resumed in (_size(part) > 0, False):
        _download(url, part)
        log.info("checking the md5 of %s", url)
        found = _md5(part)
        if found == md5:
            return
        _discard(part)
        if not resumed:
            raise http.client.HTTPException(f"its md5 is {found} and not {md5}, so it was deleted")


def _download(url: str, part: Path) -> None:
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

    What has arrived is kept whatever source it came from, since the md5 of the whole is known.
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
                f"{url} has {int(rest) / 1e9:.1f} GB to send, but only {free / 1e9:.1f} GB are free in {part.parent}"
            )
        if total:
            write_text(_sidecar(part), json.dumps({"total": total}))
        log.info("%s: %s", url, f"{(total or 0) / 1e9:.2f} GB, {have / 1e9:.2f} GB of them are here")
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


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


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
