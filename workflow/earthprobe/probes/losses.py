"""The cross-entropy of a probe, and the probabilities that belong to it, for patches with many classes or with one."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def binary(logits: Tensor, targets: Tensor) -> Tensor:
    """Of each class by itself, shape (patches, classes)."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def softmax(logits: Tensor, targets: Tensor) -> Tensor:
    """Over all classes, shape (patches,)."""
    return -(targets * F.log_softmax(logits, dim=1)).sum(dim=1)


def probabilities(logits: Tensor) -> Tensor:
    """Of classes that exclude each other, shape (patches, classes)."""
    return F.softmax(logits, dim=1)


def mean_softmax(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean over patches of :func:`softmax`."""
    return softmax(logits, targets).mean()


MEANS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "multilabel": F.binary_cross_entropy_with_logits,
    "single": mean_softmax,
}
"""The mean loss, which torch computes to another last digit than the mean of :data:`LOSSES`."""

LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"multilabel": binary, "single": softmax}
PROBABILITIES: Mapping[str, Callable[[Tensor], Tensor]] = {"multilabel": torch.sigmoid, "single": probabilities}
