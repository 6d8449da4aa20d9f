"""Fetch or draw a model's weights, check them, and store them in a file that runs no code."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import safetensors.torch
import torch
from cyclopts import Parameter

from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.models.interface import Published
from earthprobe.models.weights import fit_state, read_state
from earthprobe.storage.download import MIRRORS, download
from earthprobe.storage.files import replacing, sha256

log = logging.getLogger(__name__)


def run(
    *,
    kind: str,
    model: str = "",
    bands: Sequence[str] = (),
    weights: str,
    mirrors: Annotated[Sequence[str], Parameter(env_var=MIRRORS)] = (),
    output: Path,
) -> None:
    """Writes a checked state dict as safetensors, with its origin in the metadata.

    Args:
        kind: the model's kind.
        model: which of its models.
        bands: those that it will see.
        weights: the name of published weights, ``random:<seed>``, or a path to a state dict.
        mirrors: addresses of folders that hold published weights, too, and are tried first.
        output: the safetensors file.

    Raises:
        UserError: the weights cannot be had, are withdrawn, or do not fit the model.
    """
    module = registry.load("models", kind)
    if match := re.fullmatch(r"random:(\d+)", weights):
        torch.manual_seed(int(match[1]))
        state = dict(module.architecture(model, bands).state_dict())
        origin = {"weights": weights, "file": "", "sha256": ""}
    elif weights == "published" and hasattr(module, "fetch"):
        state = fit_state(module.fetch(model), module.architecture(model, bands), (), model)
        origin = {"weights": weights, "file": "", "sha256": ""}
    else:
        published: Mapping[str, Published] = module.published(model)
        path = _fetched(published[weights], mirrors) if weights in published else Path(weights)
        digest = sha256(path)
        if hasattr(module, "refuse"):
            module.refuse(path, digest)
        _check_digest(path, digest, {_name(known): known for known in published.values()})
        state = read_state(path)
        if hasattr(module, "tidy"):
            state = module.tidy(state, model)
        may_lack = getattr(module, "MAY_LACK", ())
        state = fit_state(state, module.architecture(model, bands), may_lack, str(path))
        # A user's file is known by its name and hash: where it lay is of no use to others.
        name = weights if weights in published else path.name
        origin = {"weights": name, "file": path.name, "sha256": digest}
    metadata = {"model": model, **origin}
    with replacing(output) as part:
        # Written as bytes: save_file would put another file in this one's place.
        part.write_bytes(safetensors.torch.save({k: v.contiguous() for k, v in state.items()}, metadata))
    log.info("%s: %s", model, json.dumps(origin))


def _fetched(published: Published, mirrors: Sequence[str]) -> Path:
    """Published weights in torch's cache, downloaded and checked if they are not there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / _name(published)
    if not path.exists():
        urls = [*(f"{mirror.rstrip('/')}/{published.url.rsplit('/', 1)[-1]}" for mirror in mirrors), published.url]
        # Several feature sets often have the same weights.
        download(urls, path, "sha256", _hash_of(published), wait=True)
    return path


def _name(published: Published) -> str:
    """What the file is called in the cache: several models publish an ``encoder.pt``."""
    name = published.url.rsplit("/", 1)[-1]
    return f"{published.sha256[:8]}-{name}" if published.sha256 else name


def _hash_of(published: Published) -> str:
    """The hash as far as it is known; by torch's convention the file's name may end in how it begins."""
    match = re.search(r"-([0-9a-f]{8,})\.\w+$", published.url)
    return published.sha256 or (match[1] if match else "")


def _check_digest(path: Path, digest: str, known: Mapping[str, Published]) -> None:
    """Refuses a file that has a published name, but other content."""
    wanted = _hash_of(known[path.name]) if path.name in known else ""
    if not digest.startswith(wanted):
        raise UserError(
            f"{path} is damaged: its SHA-256 begins with {digest[:8]}, not {wanted[:8]}: delete it and fetch it again"
        )
