"""train_linear: multi-output logistic regression by L-BFGS, its penalty chosen on val."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from earthprobe.probes.train import Data, Fitted
from earthprobe.progress import Progress

log = logging.getLogger(__name__)


def fit(data: Data, probe: Mapping[str, Any], threads: int) -> Fitted:
    """Fits one logistic regression a class, all at once, for each strength of the penalty.

    The loss is the mean over patches of the sum over classes of the binary cross-entropy, plus
    strength / 2 * ||weights||^2; the intercepts are free. A strength s is scikit-learn's C = 1 / (s * patches).
    The strength with the lowest cross-entropy on val is kept; there is no refit on train and val together.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x, y, x_val, y_val = (
        torch.from_numpy(array).to(device)
        for part in (data.parts["train"], data.parts["val"])
        for array in (part.features, part.targets.astype(np.float32))
    )
    weight = torch.zeros(y.shape[1], x.shape[1], device=device)
    # Starting at the classes' shares saves iterations and keeps a class without a positive finite.
    share = (y.sum(0) + 0.5) / (len(y) + 1)
    bias = torch.log(share / (1 - share))
    tried = []
    progress = Progress(log, len(probe["strengths"]), "strengths")
    best: tuple[float, float, Tensor, Tensor] | None = None
    # From the strongest on, each fit starts where the last one ended.
    for strength in sorted(probe["strengths"], reverse=True):
        weight, bias, iterations = minimise(x, y, weight, bias, strength, probe["max_iterations"])
        with torch.inference_mode():
            val_loss = float(F.binary_cross_entropy_with_logits(F.linear(x_val, weight, bias), y_val))
        log.info("strength %g: loss %.5f on val after %d iterations", strength, val_loss, iterations)
        progress.add(1)
        tried.append({"strength": strength, "val_loss": val_loss, "iterations": iterations})
        if best is None or val_loss < best[0]:
            best = (val_loss, strength, weight, bias)
    assert best is not None  # the schema asks for at least one strength  # noqa: S101
    val_loss, strength, weight, bias = best
    with torch.inference_mode():
        scores = {
            split: torch.sigmoid(F.linear(torch.from_numpy(data.parts[split].features).to(device), weight, bias))
            .cpu()
            .numpy()
            for split in ("val", "test")
        }
    tensors = {
        "weight": weight.cpu(),
        "bias": bias.cpu(),
        "mean": torch.from_numpy(data.mean),
        "std": torch.from_numpy(data.std),
    }

    def save(path: Path) -> None:
        path.write_bytes(safetensors.torch.save(tensors))

    chosen = {"strength": strength, "val_loss": val_loss, "tried": tried, "refit": False}
    return Fitted(scores, {**chosen, "device": device.type, "torch_version": torch.__version__}, save)


def minimise(
    x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, strength: float, max_iterations: int
) -> tuple[Tensor, Tensor, int]:
    """Minimises the penalised cross-entropy from a starting point.

    Args:
        x: features, shape (patches, dimensions).
        y: targets, 0 or 1, shape (patches, classes).
        weight: starting weights, shape (classes, dimensions).
        bias: starting intercepts, shape (classes,).
        strength: the weight of the penalty.
        max_iterations: the most iterations.

    Returns:
        Weights, intercepts and the number of iterations.
    """
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        entropy = F.binary_cross_entropy_with_logits(F.linear(x, weight, bias), y, reduction="sum") / len(x)
        value = entropy + 0.5 * strength * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    iterations: int = optimizer.state[weight]["n_iter"]
    return weight.detach(), bias.detach(), iterations
