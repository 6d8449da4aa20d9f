"""Downloads from a server on this machine; that of the archives' publishers was never asked."""

import fcntl
import hashlib
import http.client
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.steps import fetch
from earthprobe.storage import download

from tests.server import Server, serving

CONTENT = bytes(range(256)) * 5000
KIND = "bigearthnet-v1"
NAME = "some.tar.gz"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves one file, which is the published one."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(download, "CHUNK", 2**14)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "")
    with serving(folder) as running:
        md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
        published = registry.kind("archives", KIND).facts["published"]["files"]
        monkeypatch.setitem(published, NAME, {"url": f"{running.url}/official/{NAME}", "md5": md5})
        yield running


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "data" / NAME


def left(output: Path) -> list[str]:
    return sorted(path.name for path in output.parent.iterdir())


def test_a_file_arrives_whole_and_alone(server: Server, output: Path):
    fetch.run(kind=KIND, file=NAME, output=output)
    assert output.read_bytes() == CONTENT
    assert left(output) == [NAME]
    assert [path for path, _, _ in server.requests] == [f"/official/{NAME}"]


def test_a_transfer_that_breaks_off_often_goes_on(server: Server, output: Path):
    server.drops = 6  # more than attempts in a row that bring nothing are made
    fetch.run(kind=KIND, file=NAME, output=output)
    assert output.read_bytes() == CONTENT
    starts, have = [None], 0
    for _ in range(6):
        have += (len(CONTENT) - have) // 2
        starts.append(f"bytes={have}-")
    assert [wanted for _, wanted, _ in server.requests] == starts


def test_what_has_arrived_is_there_for_the_next_run(server: Server, output: Path):
    server.drops, server.fails_then = 1, [503] * 3
    with pytest.raises(UserError, match="the server says 503 Service Unavailable; run again to go on"):
        fetch.run(kind=KIND, file=NAME, output=output)
    assert left(output) == [f".{NAME}.fetching", f".{NAME}.fetching.json"]
    server.requests.clear()
    fetch.run(kind=KIND, file=NAME, output=output)
    assert output.read_bytes() == CONTENT
    assert server.requests[0][1] == f"bytes={len(CONTENT) // 2}-"


def test_what_is_left_of_another_file_is_found_out(server: Server, output: Path):
    output.parent.mkdir()
    output.with_name(f".{NAME}.fetching").write_bytes(b"old" * 1000)
    fetch.run(kind=KIND, file=NAME, output=output)
    assert output.read_bytes() == CONTENT
    assert [wanted for _, wanted, _ in server.requests] == ["bytes=3000-", None]


def test_another_source_goes_on_where_one_has_failed(server: Server, output: Path):
    server.drops, server.fails_then = 1, [503] * 3
    fetch.run(kind=KIND, file=NAME, mirrors=[f"{server.url}/mirror"], output=output)
    assert output.read_bytes() == CONTENT
    assert server.requests[-1][:2] == (f"/official/{NAME}", f"bytes={len(CONTENT) // 2}-")


def test_a_page_in_the_place_of_the_file_does_not_wipe_what_has_arrived(server: Server, output: Path):
    server.drops, server.fails_then = 1, [503] * 3
    with pytest.raises(UserError):
        fetch.run(kind=KIND, file=NAME, output=output)
    server.ranges = False
    (server.folder / NAME).write_bytes(b"<html>log in</html>")
    with pytest.raises(UserError, match=f"it sends a file of 19 bytes where one of {len(CONTENT)} was begun"):
        fetch.run(kind=KIND, file=NAME, output=output)
    assert output.with_name(f".{NAME}.fetching").read_bytes() == CONTENT[: len(CONTENT) // 2]


def test_more_than_there_is_is_discarded(server: Server, output: Path):
    output.parent.mkdir()
    output.with_name(f".{NAME}.fetching").write_bytes(CONTENT * 2)
    fetch.run(kind=KIND, file=NAME, output=output)
    assert output.read_bytes() == CONTENT


def test_two_at_once_are_one(server: Server, output: Path):
    output.parent.mkdir()
    with output.with_name(f".{NAME}.fetching").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=f"{NAME} is being fetched by another process: wait for it, or end it$"):
            fetch.run(kind=KIND, file=NAME, output=output)
    assert server.requests == []


@pytest.mark.parametrize("right", [True, False])
def test_a_file_that_has_come_meanwhile_is_kept(server: Server, output: Path, right: bool):
    output.parent.mkdir()
    output.write_bytes(CONTENT if right else b"mine")
    if right:
        fetch.run(kind=KIND, file=NAME, output=output)
    else:
        with pytest.raises(UserError, match="is there, but its md5 is not the published one: delete it and run again$"):
            fetch.run(kind=KIND, file=NAME, output=output)
    assert output.read_bytes() == (CONTENT if right else b"mine")
    assert left(output) == [NAME]
    assert server.requests == []


def test_a_network_that_fails_oddly_is_tried_again(server: Server, output: Path, monkeypatch: pytest.MonkeyPatch):
    original, broken = http.client.HTTPResponse.read, [OSError(113, "No route to host"), ssl.SSLError(1, "bad record")]

    def read(response: http.client.HTTPResponse, *count: int) -> bytes:
        if broken:
            raise broken.pop()
        return original(response, *count)

    monkeypatch.setattr(http.client.HTTPResponse, "read", read)
    fetch.run(kind=KIND, file=NAME, output=output)
    assert output.read_bytes() == CONTENT


def test_a_server_that_sends_no_parts_does_too(server: Server, output: Path):
    server.ranges = False
    server.drops = 1
    fetch.run(kind=KIND, file=NAME, output=output)
    assert output.read_bytes() == CONTENT


def test_a_server_that_is_busy_is_asked_again(server: Server, output: Path):
    server.fails = [503, 429]
    fetch.run(kind=KIND, file=NAME, output=output)
    assert output.read_bytes() == CONTENT


def test_a_flipped_byte_is_found(server: Server, output: Path):
    flipped = bytearray(CONTENT)
    flipped[1000] ^= 1
    (server.folder / NAME).write_bytes(flipped)
    with pytest.raises(
        UserError, match=rf"^{NAME} cannot be fetched: .* its md5 is \w+ and not \w+, so it was deleted;"
    ):
        fetch.run(kind=KIND, file=NAME, output=output)
    assert left(output) == []


def test_mirrors_come_first_and_what_one_lacks_the_next_has(server: Server, output: Path):
    server.fails = [404]
    fetch.run(kind=KIND, file=NAME, mirrors=[f"{server.url}/lacks", f"{server.url}/mirror/"], output=output)
    assert [path for path, _, _ in server.requests] == [f"/lacks/{NAME}", f"/mirror/{NAME}"]
    assert output.read_bytes() == CONTENT


def test_every_reason_is_said(server: Server, output: Path):
    (server.folder / NAME).unlink()
    with pytest.raises(UserError) as caught:
        fetch.run(kind=KIND, file=NAME, mirrors=["http://127.0.0.1:1"], output=output)
    assert f"http://127.0.0.1:1/{NAME}: [Errno 111] Connection refused; {server.url}/official/" in str(caught.value)
    assert "the server says 404 Not Found; run again to go on, or put it (md5 " in str(caught.value)


def test_room_is_asked_for_before_the_transfer(server: Server, output: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(output.parent.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"has 0.0 GB, but only 0.0 GB are free in .*data$"):
        fetch.run(kind=KIND, file=NAME, output=output)
    assert left(output) == []


def test_a_disk_that_fills_keeps_what_has_arrived(
    server: Server, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
):
    free = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:  # as if another process filled it meanwhile
        patch.setattr(shutil, "disk_usage", lambda _: free)
        with pytest.raises(
            UserError, match=r"No space left on device: fix that and run again; what was downloaded is kept"
        ):
            fetch.run(kind=KIND, file=NAME, output=small_disk / NAME)
    assert 2**18 < (small_disk / f".{NAME}.fetching").stat().st_size < len(CONTENT)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    server.requests.clear()
    fetch.run(kind=KIND, file=NAME, output=small_disk / NAME)
    assert server.requests[0][1] is not None
    assert (small_disk / NAME).read_bytes() == CONTENT


def test_a_proxy_of_the_environment_is_used(server: Server, output: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setattr(urllib.request, "_opener", None)  # which remembers that there was none
    fetch.run(kind=KIND, file=NAME, mirrors=["http://nowhere.invalid/folder"], output=output)
    assert output.read_bytes() == CONTENT
    assert server.requests[0][2] == f"http://nowhere.invalid/folder/{NAME}"


def test_one_of_two_waits_where_it_is_asked_to(server: Server, output: Path):
    """As jobs of several feature sets do that have the same weights."""
    output.parent.mkdir()
    part = output.with_name(f".{NAME}.fetching")
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    with ThreadPoolExecutor(1) as pool:
        with part.open("ab") as first:
            fcntl.flock(first, fcntl.LOCK_EX)
            second = pool.submit(
                download.download, [f"{server.url}/official/{NAME}"], output, "sha256", sha256[:8], wait=True
            )
            with pytest.raises(TimeoutError):
                second.result(timeout=0.3)
            first.write(CONTENT)
            first.flush()
            part.rename(output)
        second.result(timeout=30)
    assert server.requests == []
    assert left(output) == [NAME]
