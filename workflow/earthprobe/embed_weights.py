"""embed_weights: a model's weights, fetched or drawn once, checked, and stored in a file that runs no code."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from earthprobe import dofa
from earthprobe.download import download
from earthprobe.errors import UserError
from earthprobe.files import replacing, sha256

log = logging.getLogger(__name__)

WITHDRAWN = "7cc0f413"
"""SHA-256 prefix of DOFA base weights whose patch embedding was reshaped wrongly (torchgeo PR #2256)."""


def store_weights(model: str, weights: str, output: Path, mirrors: Sequence[str] = ()) -> None:
    """Writes a checked state dict as safetensors, with its origin in the metadata.

    Args:
        model: the model's name.
        weights: a member of torchgeo's weights enum, ``random:<seed>``, or a path to a state dict.
        output: the safetensors file.
        mirrors: addresses of folders that hold published weights, too, and are tried first.

    Raises:
        UserError: the weights cannot be had, are withdrawn, or do not fit the model.
    """
    if match := re.fullmatch(r"random:(\d+)", weights):
        torch.manual_seed(int(match[1]))
        state = dict(dofa.build(model).state_dict())
        origin = {"weights": weights, "file": "", "sha256": ""}
    else:
        published = dofa.ARCHITECTURES[model].weights.__members__
        path = _fetched(published[weights].url, mirrors) if weights in published else Path(weights)
        digest = _checked_digest(path)
        state = fit_state(read_state(path), dofa.build(model), str(path))
        # A user's file is known by its name and hash: where it lay is of no use to others.
        name = weights if weights in published else path.name
        origin = {"weights": name, "file": path.name, "sha256": digest}
    metadata = {"model": model, **origin}
    with replacing(output) as part:
        # Written as bytes: save_file would put another file in this one's place.
        part.write_bytes(safetensors.torch.save({k: v.contiguous() for k, v in state.items()}, metadata))
    log.info("%s: %s", model, json.dumps(origin))


def load_model(path: Path) -> tuple[nn.Module, dict[str, str]]:
    """Builds the model whose weights :func:`store_weights` wrote, and returns it with their origin."""
    try:
        with safe_open(path, framework="pt") as stored:
            origin: dict[str, str] = stored.metadata()
            state = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete it and run again") from error
    with torch.device("meta"):  # no time is lost on initial values that are replaced at once
        model = dofa.build(origin["model"])
    model.load_state_dict(state, assign=True)
    return model, origin


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
        raise UserError(f"{path} is no state dict that can be loaded safely: {_first_line(error)}") from error
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]  # the authors' own checkpoints keep the state dict under this key
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} holds no state dict (a mapping of names to tensors)")
    return dict(state)


def fit_state(state: Mapping[str, Tensor], model: nn.Module, where: str) -> dict[str, Tensor]:
    """Checks that a state dict is the model's, key by key, and returns what the model needs of it.

    The final norm and the head, which the published checkpoints lack, may be missing; the norm is then the
    identity, as in torchgeo.

    Raises:
        UserError: a key is missing or surplus, or a shape differs.
    """
    expected = model.state_dict()
    missing = sorted(expected.keys() - state.keys() - dofa.GENERATED)
    if missing:
        raise UserError(f"{where} lacks {missing[0]} ({len(missing)} missing): these are weights of another model")
    surplus = sorted(state.keys() - expected.keys() - dofa.GENERATED)
    if surplus:
        raise UserError(f"{where} holds {surplus[0]} ({len(surplus)} surplus), which the model does not have")
    for key, value in expected.items():
        if key in state and state[key].shape != value.shape:
            shapes = f"{tuple(state[key].shape)}, not {tuple(value.shape)}"
            raise UserError(f"{where}: {key} has shape {shapes}: these are weights of another model")
    return {key: state[key].float() if key in state else value for key, value in expected.items()}


def _fetched(url: str, mirrors: Sequence[str]) -> Path:
    """Published weights in torch's cache, downloaded if they are not there; the hash in the file's name is checked."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.exists():
        urls = [*(f"{mirror.rstrip('/')}/{path.name}" for mirror in mirrors), url]
        # Several feature sets often have the same weights.
        download(urls, path, "sha256", _named_hash(path) or "", wait=True)
    return path


def _named_hash(path: Path) -> str | None:
    """The hash that torch's convention puts at the end of a file's name."""
    match = re.search(r"-([0-9a-f]{8,})\.\w+$", path.name)
    return match[1] if match else None


def _published_names() -> set[str]:
    members = (w for a in dofa.ARCHITECTURES.values() for w in a.weights.__members__.values())
    return {member.url.rsplit("/", 1)[-1] for member in members}


def _checked_digest(path: Path) -> str:
    digest, named = sha256(path), _named_hash(path)
    if digest.startswith(WITHDRAWN) or named == WITHDRAWN:
        raise UserError(
            f"{path} holds the withdrawn DOFA weights {WITHDRAWN}, whose patch embedding is wrong"
            " (torchgeo PR #2256): use dofa_base_patch16_224-a0275954.pth"
        )
    if path.name in _published_names() and named and not digest.startswith(named):
        raise UserError(
            f"{path} is damaged: its SHA-256 begins with {digest[:8]}, not {named}: delete it and fetch it again"
        )
    return digest


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
