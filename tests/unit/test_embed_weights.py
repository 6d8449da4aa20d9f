import hashlib
import json
import pickle
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from earthprobe import dofa
from earthprobe.embed_weights import fit_state, load_model, read_state, store_weights
from earthprobe.errors import UserError
from safetensors import safe_open
from torch import Tensor

from tests.conftest import SHARED, needs
from tests.server import serving

BASE = "dofa_base_patch16_224"


@pytest.fixture(scope="module")
def shapes() -> dict[str, dict[str, list[int]]]:
    path = needs(SHARED / "dofa/torchgeo_dofa_state_dict_shapes.json")
    return json.loads(path.read_text())


def published_state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """A state dict like the published files: torchgeo's keys and shapes, without what it generates."""
    return {key: torch.zeros(shape) for key, shape in shapes.items() if key not in dofa.GENERATED}


@pytest.mark.parametrize("model", ["dofa_base_patch16_224", "dofa_large_patch16_224"])
def test_published_keys_and_shapes_fit(shapes: dict, model: str):
    with torch.device("meta"):
        built = dofa.build(model)
        state = published_state(shapes[model])
    fitted = fit_state(state, built, "x.pth")
    assert {k: list(v.shape) for k, v in fitted.items()} == {
        k: s for k, s in shapes[model].items() if not k.startswith("head.")
    }
    assert dict(fit_state({k: torch.empty(s, device="meta") for k, s in shapes[model].items()}, built, "x")).keys()


def spoil(state: dict[str, Tensor], how: str) -> None:
    if how == "missing":
        del state["blocks.3.attn.qkv.weight"]
    if how == "surplus":
        state["decoder.weight"] = torch.zeros(1)
    if how == "shape":
        state["cls_token"] = torch.zeros(1, 1, 1024)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"x.pth lacks blocks.3.attn.qkv.weight \(1 missing\)"),
        ("surplus", r"x.pth holds decoder.weight \(1 surplus\)"),
        ("shape", r"x.pth: cls_token has shape \(1, 1, 1024\), not \(1, 1, 768\)"),
    ],
)
def test_a_misfit_is_refused_by_name(shapes: dict, how: str, message: str):
    with torch.device("meta"):
        state = published_state(shapes[BASE])
        model = dofa.build(BASE)
        spoil(state, how)
    with pytest.raises(UserError, match=message):
        fit_state(state, model, "x.pth")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the published one, with its hash in its name; random weights."""
    torch.manual_seed(7)
    state = {k: v for k, v in dofa.build(BASE).state_dict().items() if k not in dofa.GENERATED}
    folder = tmp_path_factory.mktemp("weights")
    torch.save(state, folder / "x.pth")
    digest = hashlib.sha256((folder / "x.pth").read_bytes()).hexdigest()
    return (folder / "x.pth").rename(folder / f"{BASE}-{digest[:8]}.pth")


def test_a_file_is_stored_with_its_hash(checkpoint: Path, tmp_path: Path):
    out = tmp_path / "weights.safetensors"
    store_weights(BASE, str(checkpoint), out)
    with safe_open(out, framework="pt") as stored:
        metadata = stored.metadata()
    assert metadata["file"] == metadata["weights"] == checkpoint.name
    assert metadata["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    model, origin = load_model(out)
    assert origin == metadata
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
        store_weights(BASE, str(bad), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_only_published_names_end_in_a_hash(checkpoint: Path, tmp_path: Path):
    dated = tmp_path / "mine-20240101.pth"
    shutil.copy(checkpoint, dated)
    store_weights(BASE, str(dated), tmp_path / "out.safetensors")
    assert load_model(tmp_path / "out.safetensors")[1]["file"] == dated.name


def test_the_withdrawn_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    named = tmp_path / "dofa_base_patch16_224-7cc0f413.pth"
    named.write_bytes(b"whatever")
    with pytest.raises(UserError, match="withdrawn DOFA weights 7cc0f413"):
        store_weights(BASE, str(named), tmp_path / "out.safetensors")
    # Under another name they are known by their content.
    monkeypatch.setattr("earthprobe.embed_weights.sha256", lambda path: "7cc0f413" + 56 * "0")
    renamed = named.rename(tmp_path / "base.pth")
    with pytest.raises(UserError, match="withdrawn"):
        store_weights(BASE, str(renamed), tmp_path / "out.safetensors")


class Evil:
    """Unpickled, this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["pickle", "torch", "text", "empty", "not tensors"])
def test_what_is_no_state_dict_is_refused_and_runs_no_code(tmp_path: Path, how: str):
    path, trace = tmp_path / "x.pth", tmp_path / "trace"
    match how:
        case "pickle":
            path.write_bytes(pickle.dumps(Evil(trace)))
        case "torch":
            torch.save({"x": Evil(trace)}, path)
        case "text":
            path.write_text("hello")
        case "empty":
            path.write_bytes(b"")
        case "not tensors":
            torch.save({"x": 3}, path)
    with pytest.raises(UserError, match=r"x.pth (is no state dict|holds no state dict)"):
        read_state(path)
    assert not trace.exists()


def test_safetensors_are_read(tmp_path: Path):
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert torch.equal(read_state(tmp_path / "x.safetensors")["a"], torch.ones(2))
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(UserError, match=r"bad.safetensors is no state dict"):
        read_state(tmp_path / "bad.safetensors")


def test_random_weights_depend_on_the_seed(tmp_path: Path):
    states = []
    for i, seed in enumerate((0, 0, 1)):
        store_weights(BASE, f"random:{seed}", tmp_path / f"{i}.safetensors")
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
    store_weights(BASE, "DOFA_MAE", tmp_path / "weights.safetensors")
    cached = tmp_path / "cache/checkpoints" / checkpoint.name
    assert cached.read_bytes() == checkpoint.read_bytes()
    _, origin = load_model(tmp_path / "weights.safetensors")
    assert origin["weights"] == "DOFA_MAE"
    assert origin["sha256"].startswith(checkpoint.stem.rsplit("-", 1)[1])


def test_weights_come_from_a_mirror_and_over_a_line_that_breaks(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("earthprobe.download.PAUSES", (0.01,))
    with serving(checkpoint.parent) as server:
        server.drops = 2
        offer(monkeypatch, f"http://127.0.0.1:9/{checkpoint.name}", tmp_path / "cache")
        store_weights(BASE, "DOFA_MAE", tmp_path / "weights.safetensors", [server.url])
        assert len(server.requests) == 3
    assert (tmp_path / "cache/checkpoints" / checkpoint.name).read_bytes() == checkpoint.read_bytes()


def test_a_download_with_another_hash_or_none_at_all_is_refused(
    server: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = checkpoint.parent / f"{BASE}-00000000.pth"
    shutil.copy(checkpoint, other)
    offer(monkeypatch, f"{server}/{other.name}", tmp_path / "cache")
    with pytest.raises(UserError, match="cannot be fetched: .* its sha256 is .* and not 00000000"):
        store_weights(BASE, "DOFA_MAE", tmp_path / "weights.safetensors")
    other.unlink()
    with pytest.raises(UserError, match="cannot be fetched: .*the server says 404"):
        store_weights(BASE, "DOFA_MAE", tmp_path / "weights.safetensors")
    assert list((tmp_path / "cache/checkpoints").iterdir()) == []
    assert not (tmp_path / "weights.safetensors").exists()


@pytest.mark.parametrize("model", sorted(dofa.ARCHITECTURES))
def test_the_schemas_enum_is_torchgeos(model: str):
    from earthprobe.config import WEIGHTS_ENUM

    assert WEIGHTS_ENUM[model] == tuple(dofa.ARCHITECTURES[model].weights.__members__)
