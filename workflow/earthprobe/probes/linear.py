"""Logistic regression by L-BFGS, its penalty chosen on val: one for each class, or one over all classes."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from earthprobe.probes.interface import Data, Fitted, Floats
from earthprobe.probes.losses import LOSSES, MEANS, PROBABILITIES
from earthprobe.probes.optimizers import light
from earthprobe.probes.selection import quality
from earthprobe.progress import Progress

log = logging.getLogger(__name__)


def fit(
    data: Data,
    *,
    threads: int,
    strengths: Sequence[float] = (1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001, 0.000001, 0.0000001, 0.00000001),
    c: Sequence[float] | None = None,
    select: str = "loss",
    patience: int | None = 2,
    refit: bool = False,
    max_iterations: int = 500,
) -> Fitted:
    """Fits one logistic regression a class, all at once, for each strength of the penalty.

    The loss is the mean over patches of the sum over classes of the binary cross-entropy, plus
    strength / 2 * ||weights||^2; the intercepts are free. Where a patch has one class, it is a single regression over
    all classes, and the cross-entropy that of its softmax. A strength s is scikit-learn's C = 1 / (s * patches).
    The strength that is best on val is kept: with the lowest cross-entropy, unless ``select`` says otherwise. The
    cross-entropy falls and rises once along the path, so that after ``patience`` strengths in a row that are worse than
    the best the weaker ones, which take the longest, are left out; ``None`` tries all, as other choices do. With
    ``refit`` test is scored by a regression that is fitted once more on train and val together; a C means the same
    weight of the penalty a patch there, a strength the same weight in all.

    All classes share each pass over the features, and the steps are scaled by the curvature that each class has at
    its share, which takes a few passes where plain L-BFGS takes hundreds.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x, y, x_val, y_val = (
        torch.from_numpy(array).to(device)
        for part in (data.parts["train"], data.parts["val"])
        for array in (part.features, part.targets.astype(np.float32))
    )
    # Starting at the classes' shares saves iterations and keeps a class without a positive finite.
    share = (y.sum(0) + 0.5) / (len(y) + 1)
    weight, bias = torch.zeros(y.shape[1], x.shape[1], device=device), torch.log(share / (1 - share))
    curvature = Curvature(x, share)
    tried = []
    if c is not None:
        strengths = [1 / (value * len(x)) for value in c]
    entropy, probability = MEANS[data.task], PROBABILITIES[data.task]
    progress = Progress(log, len(strengths), "strengths")
    best: tuple[float, dict[str, Any], Tensor, Tensor] | None = None
    worse = 0
    # From the strongest on, each fit starts where the last one ended.
    for strength in sorted(strengths, reverse=True):
        weight, bias, iterations = minimise(x, y, weight, bias, strength, curvature, max_iterations, data.task)
        with torch.inference_mode():
            logits = F.linear(x_val, weight, bias)
            val_loss = float(entropy(logits, y_val))
        log.info("strength %g: loss %.5f on val after %d iterations", strength, val_loss, iterations)
        progress.add(1)
        tried.append({"strength": strength, "val_loss": val_loss, "iterations": iterations})
        worth = -val_loss
        if select != "loss":
            worth = quality(probability(logits).cpu().numpy(), data.parts["val"].targets, select, data.task)
            tried[-1][f"val_{select}"] = worth
        if best is None or worth > best[0]:
            best, worse = (worth, tried[-1], weight, bias), 0
        elif select == "loss" and patience is not None and (worse := worse + 1) >= patience:
            log.info("%d strengths in a row worse on val: weaker ones are left out", worse)
            break
    assert best is not None  # the schema asks for at least one strength  # noqa: S101
    _, kept, weight, bias = best

    def scored(split: str) -> Floats:
        with torch.inference_mode():
            logits = F.linear(torch.from_numpy(data.parts[split].features).to(device), weight, bias)
            result: Floats = probability(logits).cpu().numpy()
        return result

    scores = {"val": scored("val")}
    if refit:
        x, y = torch.cat([x, x_val]), torch.cat([y, y_val])
        strength = kept["strength"] if c is None else kept["strength"] * (len(x) - len(x_val)) / len(x)
        curvature = Curvature(x, (y.sum(0) + 0.5) / (len(y) + 1))
        weight, bias, _ = minimise(x, y, weight, bias, strength, curvature, max_iterations, data.task)
    scores["test"] = scored("test")
    tensors = {
        "weight": weight.cpu(),
        "bias": bias.cpu(),
        "mean": torch.from_numpy(data.mean),
        "std": torch.from_numpy(data.std),
        "single": torch.tensor(data.task == "single"),
    }

    def save(path: Path) -> None:
        path.write_bytes(safetensors.torch.save(tensors))

    limits = []
    if len(tried) > 1 and kept["strength"] in (tried[0]["strength"], tried[-1]["strength"]):
        end = "strongest" if kept["strength"] == tried[0]["strength"] else "weakest"
        limits.append(f"took the {end} penalty that was tried ({kept['strength']:.3g})")
    if kept["iterations"] >= max_iterations:
        limits.append(f"stopped at its last iteration ({max_iterations})")
    chosen = {"strength": kept["strength"], "val_loss": kept["val_loss"], "tried": tried, "refit": refit}
    if select != "loss":
        chosen["select"] = select
    if limits:
        chosen["limits"] = limits
    return Fitted(scores, {**chosen, "device": device.type, "torch_version": torch.__version__}, save)


def read(model: Path) -> Callable[[Floats], Floats]:
    """A saved regression; see :mod:`earthprobe.probes.interface`."""
    tensors = safetensors.torch.load_file(model)
    probability = PROBABILITIES["single" if tensors["single"] else "multilabel"]

    @torch.inference_mode()
    def scores(embeddings: Floats) -> Floats:
        x = (torch.tensor(embeddings) - tensors["mean"]) / tensors["std"]
        result: Floats = probability(F.linear(x, tensors["weight"], tensors["bias"])).numpy()
        return result

    return scores


class Curvature:
    """The second derivative of the penalised cross-entropy where every score is its class's share.

    There it is, for class k, c_k * x'x / patches + strength * 1 with c_k = share * (1 - share): the classes and the
    strengths share its eigenvectors. (For centred features the intercept's is c_k.)
    """

    def __init__(self, x: Tensor, share: Tensor) -> None:
        """Decomposes x'x once.

        Args:
            x: standardised features, shape (patches, dimensions).
            share: the share of each class, shape (classes,).
        """
        values, vectors = torch.linalg.eigh((x.T @ x / len(x)).double())
        self.values, self.vectors = values.clamp(min=0).float(), vectors.float()
        self.classes = share * (1 - share)

    def scale(self, strength: float) -> Tensor:
        """By what a step along each eigenvector is to be scaled, shape (classes, dimensions)."""
        scale: Tensor = (self.classes[:, None] * self.values + strength).rsqrt()
        return scale


def minimise(
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    strength: float,
    curvature: Curvature,
    max_iterations: int,
    task: str = "multilabel",
) -> tuple[Tensor, Tensor, int]:
    """Minimises the penalised cross-entropy from a starting point.

    Args:
        x: features, shape (patches, dimensions).
        y: targets, 0 or 1, shape (patches, classes).
        weight: starting weights, shape (classes, dimensions).
        bias: starting intercepts, shape (classes,).
        strength: the weight of the penalty.
        curvature: of ``x`` and ``y``.
        max_iterations: the most iterations.
        task: whether a patch has any number of classes or one (``single``).

    Returns:
        Weights, intercepts and the number of iterations.
    """
    scale, bias_scale = curvature.scale(strength), curvature.classes.rsqrt()
    scaled = (weight @ curvature.vectors / scale).requires_grad_()
    scaled_bias = (bias / bias_scale).requires_grad_()
    optimizer = light(torch.optim.LBFGS)(
        [scaled, scaled_bias],
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        along = scaled * scale
        logits = F.linear(x, along @ curvature.vectors.T, scaled_bias * bias_scale)
        # Summed in float64: float32 would take the last, small improvements for none and stop too early.
        entropy = LOSSES[task](logits, y).sum(dtype=torch.float64) / len(x)
        value: Tensor = entropy + 0.5 * strength * along.square().sum(dtype=torch.float64)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    iterations: int = optimizer.state[scaled]["n_iter"]
    with torch.no_grad():
        return (scaled * scale).mm(curvature.vectors.T), scaled_bias.mul(bias_scale), iterations
