import hashlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from earthprobe.errors import UserError
from earthprobe.models import dofa
from earthprobe.models.weights import load, origin_of, read_state
from earthprobe.steps import embed_weights
from safetensors import safe_open

from tests.server import serving

BASE = "dofa_base_patch16_224"

pytestmark = pytest.mark.usefixtures("shallow_dofa")


def store(weights: str, output: Path, mirrors: Sequence[str] = ()) -> None:
    embed_weights.run(kind="dofa", model=BASE, weights=weights, output=output, mirrors=mirrors)


@pytest.fixture(scope="module")
def checkpoint(shallow_dofa: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the published one, with its hash in its name; random weights."""
    torch.manual_seed(7)
    state = {k: v for k, v in dofa.architecture(BASE).state_dict().items() if k not in dofa.MAY_LACK}
    folder = tmp_path_factory.mktemp("weights")
    torch.save(state, folder / "x.pth")
    digest = hashlib.sha256((folder / "x.pth").read_bytes()).hexdigest()
    return (folder / "x.pth").rename(folder / f"{BASE}-{digest[:8]}.pth")


def test_a_file_is_stored_with_its_hash(checkpoint: Path, tmp_path: Path):
    out = tmp_path / "weights.safetensors"
    store(str(checkpoint), out)
    with safe_open(out, framework="pt") as stored:
        metadata = stored.metadata()
    assert metadata["file"] == metadata["weights"] == checkpoint.name
    assert metadata["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    model = load(out, lambda: dofa.architecture(BASE))
    assert origin_of(out) == metadata
    for key, value in torch.load(checkpoint, weights_only=True).items():
        assert torch.equal(model.state_dict()[key], value), key
    assert torch.equal(model.fc_norm.weight, torch.ones(768))


def test_a_damaged_file_is_refused(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    offer(monkeypatch, f"https://nowhere/{checkpoint.name}", tmp_path)
    bad = tmp_path / checkpoint.name
    shutil.copy(checkpoint, bad)
    with bad.open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"\xff\x00\xff")
    with pytest.raises(UserError, match="is damaged: its SHA-256 begins with"):
        store(str(bad), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_only_published_names_end_in_a_hash(checkpoint: Path, tmp_path: Path):
    dated = tmp_path / "mine-20240101.pth"
    shutil.copy(checkpoint, dated)
    store(str(dated), tmp_path / "out.safetensors")
    assert origin_of(tmp_path / "out.safetensors")["file"] == dated.name


def test_the_withdrawn_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    named = tmp_path / "dofa_base_patch16_224-7cc0f413.pth"
    named.write_bytes(b"whatever")
    with pytest.raises(UserError, match="withdrawn DOFA weights 7cc0f413"):
        store(str(named), tmp_path / "out.safetensors")
    # Under another name they are known by their content.
    monkeypatch.setattr("earthprobe.steps.embed_weights.sha256", lambda path: "7cc0f413" + 56 * "0")
    renamed = named.rename(tmp_path / "base.pth")
    with pytest.raises(UserError, match="withdrawn"):
        store(str(renamed), tmp_path / "out.safetensors")


def test_random_weights_depend_on_the_seed(tmp_path: Path):
    states = []
    for i, seed in enumerate((0, 0, 1)):
        store(f"random:{seed}", tmp_path / f"{i}.safetensors")
        states.append(read_state(tmp_path / f"{i}.safetensors"))
        (tmp_path / f"{i}.safetensors").unlink()
    key = "blocks.0.attn.qkv.weight"
    assert torch.equal(states[0][key], states[1][key])
    assert not torch.equal(states[0][key], states[2][key])


@pytest.fixture
def server(checkpoint: Path) -> Iterator[str]:
    """Serves the checkpoint's folder over HTTP, as the hub does over HTTPS."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(checkpoint.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def offer(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    member = SimpleNamespace(url=url)
    architecture = dofa.ARCHITECTURES[BASE]._replace(weights=SimpleNamespace(__members__={"DOFA_MAE": member}))
    monkeypatch.setitem(dofa.ARCHITECTURES, BASE, architecture)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(cache))


def test_published_weights_are_downloaded_and_checked(
    server: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    offer(monkeypatch, f"{server}/{checkpoint.name}", tmp_path / "cache")
    store("DOFA_MAE", tmp_path / "weights.safetensors")
    cached = tmp_path / "cache/checkpoints" / checkpoint.name
    assert cached.read_bytes() == checkpoint.read_bytes()
    origin = origin_of(tmp_path / "weights.safetensors")
    assert origin["weights"] == "DOFA_MAE"
    assert origin["sha256"].startswith(checkpoint.stem.rsplit("-", 1)[1])


def test_weights_come_from_a_mirror_and_over_a_line_that_breaks(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("earthprobe.storage.download.PAUSES", (0.01,))
    with serving(checkpoint.parent) as server:
        server.drops = 2
        offer(monkeypatch, f"http://127.0.0.1:9/{checkpoint.name}", tmp_path / "cache")
        store("DOFA_MAE", tmp_path / "weights.safetensors", [server.url])
        assert len(server.requests) == 3
    assert (tmp_path / "cache/checkpoints" / checkpoint.name).read_bytes() == checkpoint.read_bytes()


def test_a_download_with_another_hash_or_none_at_all_is_refused(
    server: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = checkpoint.parent / f"{BASE}-00000000.pth"
    shutil.copy(checkpoint, other)
    offer(monkeypatch, f"{server}/{other.name}", tmp_path / "cache")
    with pytest.raises(UserError, match="cannot be fetched: .* its sha256 is .* and not 00000000"):
        store("DOFA_MAE", tmp_path / "weights.safetensors")
    other.unlink()
    with pytest.raises(
        UserError, match=r"fetched: .*server says 404 .*or put it \(sha256 00000000\) into .*/checkpoints while"
    ):
        store("DOFA_MAE", tmp_path / "weights.safetensors")
    assert list((tmp_path / "cache/checkpoints").iterdir()) == []
    assert not (tmp_path / "weights.safetensors").exists()
