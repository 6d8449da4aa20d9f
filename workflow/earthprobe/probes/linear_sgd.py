"""A linear layer trained by stochastic gradient descent, as Copernicus-Bench probes.

What is fitted is no regression to its end: the best of so many epochs on val is kept. Read in their code
(https://github.com/zhu-xlab/Copernicus-FM, Copernicus-Bench/src). Their images are flipped at random in training, which
vectors that are stored cannot be.
"""

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from earthprobe.probes.interface import Data, Fitted, Floats
from earthprobe.probes.losses import MEANS, PROBABILITIES
from earthprobe.probes.optimizers import light
from earthprobe.probes.selection import quality
from earthprobe.progress import Progress

log = logging.getLogger(__name__)

RATES = {"multilabel": 1.0, "single": 0.1}
"""The learning rates of Copernicus-Bench for BigEarthNet and for EuroSAT."""

EPSILON = 1e-6
"""Added to the variance of a dimension, as theirs."""


def build(dimensions: int, classes: int) -> nn.Sequential:
    """The head: each dimension normalised by its batch, in use by all of train, and a linear layer."""
    return nn.Sequential(nn.BatchNorm1d(dimensions, affine=False, eps=EPSILON), nn.Linear(dimensions, classes))


def fit(
    data: Data,
    *,
    threads: int,
    learning_rate: float | None = None,
    weight_decay: float = 0.0001,
    batch_size: int = 64,
    epochs: int = 50,
    seed: int = 0,
) -> Fitted:
    """Trains on cross-entropy, and keeps the epoch that is best on val.

    The learning rate falls to nearly 0 along a cosine, step by step, while the momentum rises from 0.85 to 0.95
    (torch's ``OneCycleLR`` without warm-up). Val is judged by the mean over batches of their micro AP, or by accuracy.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train, val = data.parts["train"], data.parts["val"]
    x, y, x_val = (
        torch.from_numpy(a).to(device) for a in (train.features, train.targets.astype("float32"), val.features)
    )
    head = build(x.shape[1], y.shape[1])
    last: Any = head[-1]
    nn.init.trunc_normal_(last.weight, std=0.01)
    head = head.to(device)
    rate = RATES[data.task] if learning_rate is None else learning_rate
    optimizer = light(torch.optim.SGD)(head.parameters(), lr=rate, weight_decay=weight_decay)
    order = torch.Generator().manual_seed(seed)
    steps = len(batches(len(x), batch_size, torch.Generator()))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps * epochs, pct_start=0.0)
    entropy, probability = MEANS[data.task], PROBABILITIES[data.task]
    best_worth, best_epoch, best_state = float("-inf"), 0, head.state_dict()
    worths: list[float] = []
    progress = Progress(log, epochs, "epochs")
    for epoch in range(1, epochs + 1):
        head.train()
        for rows in batches(len(x), batch_size, order):
            loss = entropy(head(x[rows.to(device)]), y[rows.to(device)])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        head.eval()
        with torch.inference_mode():
            scores = probability(head(x_val)).cpu().numpy()
        if not np.isfinite(scores).all():
            break
        worths.append(quality(scores, val.targets, "map_micro_of_batches", data.task))
        log.info("epoch %d: %.5f on val", epoch, worths[-1])
        progress.add(1)
        if worths[-1] > best_worth:
            best_worth, best_epoch, best_state = worths[-1], epoch, copy.deepcopy(head.state_dict())
    head.load_state_dict(best_state)
    with torch.inference_mode():
        found = {
            split: probability(head(torch.from_numpy(data.parts[split].features).to(device))).cpu().numpy()
            for split in ("val", "test")
        }
    tensors = {key: value.cpu().contiguous() for key, value in best_state.items()}
    tensors |= {"mean": torch.from_numpy(data.mean), "std": torch.from_numpy(data.std)}
    tensors["single"] = torch.tensor(data.task == "single")

    def save(path: Path) -> None:
        path.write_bytes(safetensors.torch.save(tensors))

    chosen: dict[str, Any] = {"epoch": best_epoch, "val_worth": best_worth, "val_worths": worths, "learning_rate": rate}
    if best_epoch == epochs:
        chosen["limits"] = [f"was best at its last epoch ({epochs})"]
    return Fitted(found, {**chosen, "device": device.type, "torch_version": torch.__version__}, save)


def batches(patches: int, size: int, order: torch.Generator) -> list[Tensor]:
    """The rows of an epoch's batches; a last one of a single patch, which cannot be normalised, is left out."""
    rows: Tensor = torch.randperm(patches, generator=order)
    found: list[Tensor] = list(rows.split(size))  # type: ignore[no-untyped-call]
    return found[:-1] if len(found) > 1 and len(found[-1]) == 1 else found


def read(model: Path) -> Callable[[Floats], Floats]:
    """A saved head; see :mod:`earthprobe.probes.interface`."""
    tensors = safetensors.torch.load_file(model)
    mean, std = tensors.pop("mean"), tensors.pop("std")
    probability = PROBABILITIES["single" if tensors.pop("single") else "multilabel"]
    classes, dimensions = tensors["1.weight"].shape
    head = build(dimensions, classes).eval()
    head.load_state_dict(tensors)

    @torch.inference_mode()
    def scores(embeddings: Floats) -> Floats:
        result: Floats = probability(head((torch.tensor(embeddings) - mean) / std)).numpy()
        return result

    return scores
