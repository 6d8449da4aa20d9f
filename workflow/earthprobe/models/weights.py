"""A model's weights: reading them from a file without running what it may hold, and checking that they fit."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from earthprobe.errors import UserError

WRAPPERS = ("model", "state_dict")
"""Keys under which authors' own checkpoints keep the state dict."""


def load(path: Path, architecture: Callable[[], nn.Module]) -> nn.Module:
    """Builds a model with the weights that the step ``embed_weights`` wrote.

    A convolutional network has the channels of a pixel side by side, which is faster (docs/performance.md).

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            state = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete it and run again") from error
    with torch.device("meta"):  # no time is lost on initial values that are replaced at once
        model = architecture()
    model.load_state_dict(state, assign=True)
    if any(buffer.is_meta for buffer in model.buffers()):  # what is computed, and not stored, must be computed
        model = architecture()
        model.load_state_dict(state)
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        model.to(memory_format=torch.channels_last)
    return model


def origin_of(path: Path) -> dict[str, str]:
    """Where stored weights come from: ``model``, ``weights``, ``file`` and ``sha256``.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            origin: dict[str, str] = stored.metadata()
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete it and run again") from error
    return origin


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a state dict from a ``.safetensors`` or a torch file, without running code that it may hold.

    Raises:
        UserError: the file holds something else, or is damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file makes torch's reader raise almost anything
        raise UserError(f"{path} is not a state dict that can be loaded safely: {_first_line(error)}") from error
    if isinstance(state, Mapping):
        for key in WRAPPERS:
            if isinstance(state.get(key), Mapping):
                state = state[key]
        state = _flattened(state)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} holds no state dict (a mapping of names to tensors)")
    return dict(state)


def fit_state(
    state: Mapping[str, Tensor], model: nn.Module, may_lack: Collection[str], where: str
) -> dict[str, Tensor]:
    """Checks that a state dict is the model's, key by key, and returns what the model needs of it.

    Args:
        state: the state dict.
        model: the model.
        may_lack: keys that the state dict need not have: the model's initial values stay. A key of them that the model
            does not have is passed over.
        where: what an error calls the state dict.

    Raises:
        UserError: a key is missing or surplus, or a shape differs.
    """
    expected = model.state_dict()
    missing = sorted(expected.keys() - state.keys() - set(may_lack))
    if missing:
        raise UserError(f"{where} lacks {missing[0]} ({len(missing)} missing): these are weights of another model")
    surplus = sorted(state.keys() - expected.keys() - set(may_lack))
    if surplus:
        raise UserError(f"{where} holds {surplus[0]} ({len(surplus)} surplus), which the model does not have")
    for key, value in expected.items():
        if key in state and state[key].shape != value.shape:
            shapes = f"{tuple(state[key].shape)}, not {tuple(value.shape)}"
            raise UserError(f"{where}: {key} has shape {shapes}: these are weights of another model")
    return {key: state[key].float() if key in state else value for key, value in expected.items()}


def _flattened(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict whose modules have one each (CROMA's), as one."""
    flat: dict[str, Any] = {}
    for key, value in state.items():
        flat |= {f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, Mapping) else {key: value}
    return flat


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
