"""A model of the user's own, by the name of its function in an installed package."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earthprobe.errors import UserError
from earthprobe.models.interface import Inputs, Model


def build(weights: Path | None, inputs: Inputs, *, target: str, options: Mapping[str, Any] | None = None) -> Model:
    """What the function returns.

    Args:
        weights: None; the function knows where its own are.
        inputs: what the model will see.
        target: ``package.module:function``.
        options: its keywords.

    Raises:
        UserError: it cannot be imported, or returns no model.
    """
    name, _, function = target.partition(":")
    try:
        found = getattr(importlib.import_module(name), function)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"target {target} cannot be imported ({error}): is its package installed in this environment?"
        ) from error
    model = found(weights, inputs, **(options or {}))
    if not isinstance(model, Model):
        raise UserError(f"{target} returned a {type(model).__name__}, not an earthprobe.models.interface.Model")
    return model
