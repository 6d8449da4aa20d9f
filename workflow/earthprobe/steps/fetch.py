"""Download a file of a published archive."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.storage.download import MIRRORS, download


def run(
    *,
    kind: str,
    file: str,
    mirrors: Annotated[Sequence[str], Parameter(env_var=MIRRORS)] = (),
    output: Path,
) -> None:
    """Downloads a file of a published archive.

    Args:
        kind: the archive's kind.
        file: the file's published name.
        mirrors: addresses of folders that hold the file, too, and are tried first.
        output: where it goes, once its MD5 is the published one.

    Raises:
        UserError: it is not published, no source has it, it is damaged, or the disk has not enough room.
    """
    files = registry.kind("archives", kind).facts.get("published", {}).get("files", {})
    if file not in files:
        raise UserError(f"{file} is not published of {kind}: {', '.join(files) or 'nothing'} is")
    urls = [*(f"{mirror.rstrip('/')}/{file}" for mirror in mirrors), files[file]["url"]]
    download(urls, output, "md5", files[file]["md5"])
