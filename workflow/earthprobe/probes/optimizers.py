"""torch's optimizers, quick to make."""

import inspect
from typing import TypeVar, cast

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)


def light(kind: type[Kind]) -> type[Kind]:
    """The same optimizer, which does not import torch's compiler when it is made or takes a step.

    That takes longer than a small probe trains. Nothing is compiled here: the steps are the same.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad", "step")}
    methods["step"] = torch.no_grad()(methods["step"])
    return cast("type[Kind]", type(kind.__name__, (kind,), methods))
