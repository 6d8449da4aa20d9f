"""Weights are read without running what they hold, and fit the model or are refused."""

import copy
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from earthprobe.errors import UserError
from earthprobe.models import dofa
from earthprobe.models.weights import fit_state, load, origin_of, read_state
from torch import Tensor, nn

BASE = "dofa_base_patch16_224"


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
def test_a_misfit_is_refused_by_name(how: str, message: str):
    with torch.device("meta"):
        model = dofa.architecture(BASE)
        state = {key: value for key, value in model.state_dict().items() if key not in dofa.MAY_LACK}
        spoil(state, how)
    with pytest.raises(UserError, match=message):
        fit_state(state, model, dofa.MAY_LACK, "x.pth")


def test_what_may_lack_keeps_its_initial_value_and_is_read_where_it_is_there():
    model = nn.Linear(2, 2)
    weight, bias = torch.full((2, 2), 3.0, dtype=torch.float16), torch.ones(2)
    fitted = fit_state({"weight": weight, "other": bias}, model, {"bias", "other"}, "x.pth")
    assert fitted.keys() == {"weight", "bias"}
    assert torch.equal(fitted["bias"], model.bias)
    assert fitted["weight"].dtype == torch.float32
    assert torch.equal(fitted["weight"], weight.float())
    assert torch.equal(fit_state({"weight": weight, "bias": bias}, model, {"bias"}, "x.pth")["bias"], bias)


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
    with pytest.raises(UserError, match=r"x.pth (is not a state dict|holds no state dict)"):
        read_state(path)
    assert not trace.exists()


def test_safetensors_are_read(tmp_path: Path):
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert torch.equal(read_state(tmp_path / "x.safetensors")["a"], torch.ones(2))
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(UserError, match=r"bad.safetensors is not a state dict"):
        read_state(tmp_path / "bad.safetensors")


def test_a_stored_model_is_built_again_with_its_weights_and_origin(tmp_path: Path):
    torch.manual_seed(3)
    model, origin = nn.Linear(3, 2), {"model": "m", "weights": "random:3", "file": "", "sha256": ""}
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors.torch.save(dict(model.state_dict()), origin))
    again = load(path, lambda: nn.Linear(3, 2))
    assert {key: value.tolist() for key, value in again.state_dict().items()} == {
        key: value.tolist() for key, value in model.state_dict().items()
    }
    assert origin_of(path) == origin


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(8), nn.Identity()])
def test_only_a_convolutional_network_has_its_channels_last(tmp_path: Path, norm: nn.Module):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), norm).eval()
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors.torch.save(dict(model.state_dict())))
    again = load(path, lambda: copy.deepcopy(model))
    found = again[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert found == isinstance(norm, nn.BatchNorm2d)
    pixels = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(again(pixels), model(pixels))


def test_stored_weights_that_cannot_be_read_are_an_error(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    for content in (b"", b"x" * 20, None):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        for read in (origin_of, lambda path: load(path, lambda: nn.Linear(3, 2))):
            with pytest.raises(UserError, match=r"w.safetensors cannot be read .*delete it and run again"):
                read(path)
