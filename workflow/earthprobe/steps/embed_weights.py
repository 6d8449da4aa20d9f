"""Fetch or draw a model's weights, check them, and store them in a file that runs no code."""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import safetensors.torch
import torch
from cyclopts import Parameter

from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.models.weights import fit_state, read_state
from earthprobe.storage.download import MIRRORS, download
from earthprobe.storage.files import replacing, sha256

log = logging.getLogger(__name__)


def run(
    *,
    kind: str,
    model: str = "",
    weights: str,
    mirrors: Annotated[Sequence[str], Parameter(env_var=MIRRORS)] = (),
    output: Path,
) -> None:
    """Writes a checked state dict as safetensors, with its origin in the metadata.

    Args:
        kind: the model's kind.
        model: which of its models.
        weights: the name of published weights, ``random:<seed>``, or a path to a state dict.
        mirrors: addresses of folders that hold published weights, too, and are tried first.
        output: the safetensors file.

    Raises:
        UserError: the weights cannot be had, are withdrawn, or do not fit the model.
    """
    module = registry.load("models", kind)
    if match := re.fullmatch(r"random:(\d+)", weights):
        torch.manual_seed(int(match[1]))
        state = dict(module.architecture(model).state_dict())
        origin = {"weights": weights, "file": "", "sha256": ""}
    else:
        published = module.published(model)
        path = _fetched(published[weights], mirrors) if weights in published else Path(weights)
        digest = sha256(path)
        module.refuse(path, digest)
        _check_digest(path, digest, {url.rsplit("/", 1)[-1] for url in published.values()})
        state = fit_state(read_state(path), module.architecture(model), module.MAY_LACK, str(path))
        # A user's file is known by its name and hash: where it lay is of no use to others.
        name = weights if weights in published else path.name
        origin = {"weights": name, "file": path.name, "sha256": digest}
    metadata = {"model": model, **origin}
    with replacing(output) as part:
        # Written as bytes: save_file would put another file in this one's place.
        part.write_bytes(safetensors.torch.save({k: v.contiguous() for k, v in state.items()}, metadata))
    log.info("%s: %s", model, json.dumps(origin))


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


def _check_digest(path: Path, digest: str, published: set[str]) -> None:
    named = _named_hash(path)
    if path.name in published and named and not digest.startswith(named):
        raise UserError(
            f"{path} is damaged: its SHA-256 begins with {digest[:8]}, not {named}: delete it and fetch it again"
        )
