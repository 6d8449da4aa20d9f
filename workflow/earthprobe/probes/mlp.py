"""A multi-layer perceptron trained by AdamW, stopped early on val, and its width and learning rate chosen there."""

import copy
import itertools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from earthprobe.probes.interface import Data, Fitted, Floats
from earthprobe.probes.losses import MEANS, PROBABILITIES
from earthprobe.probes.optimizers import light
from earthprobe.probes.selection import quality
from earthprobe.progress import Progress

log = logging.getLogger(__name__)


def build(dimensions: int, hidden: Sequence[int], classes: int, dropout: float) -> nn.Sequential:
    """The perceptron: a linear layer, GELU and dropout for each hidden width, and a linear layer to the classes."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(dimensions, width), nn.GELU(), nn.Dropout(dropout)]
        dimensions = width
    return nn.Sequential(*layers, nn.Linear(dimensions, classes))


class Best(NamedTuple):
    """The best epoch of a training.

    Attributes:
        worth: how good it is on val; more is better.
        epoch: counted from 1.
        state: the weights after it.
        losses: on val, after each epoch that was trained.
        hidden: the width of each hidden layer.
        learning_rate: at the beginning.
    """

    worth: float
    epoch: int
    state: dict[str, Tensor]
    losses: list[float]
    hidden: Sequence[int]
    learning_rate: float


def fit(
    data: Data,
    *,
    threads: int,
    hidden: Sequence[int] = (512,),
    widths: Sequence[int] | None = None,
    learning_rate: float = 0.0003,
    learning_rates: Sequence[float] | None = None,
    decay: str = "none",
    weight_decay: float = 0.01,
    dropout: float = 0.2,
    batch_size: int = 64,
    max_epochs: int = 100,
    patience: int = 10,
    select: str = "loss",
    seed: int = 0,
) -> Fitted:
    """Trains on cross-entropy, binary or of the softmax, and keeps the best epoch on val.

    Of several widths and learning rates every pair is trained from the same seed, and the best on val is kept: with the
    lowest cross-entropy, unless ``select`` says otherwise.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x, y, x_val, y_val = (
        torch.from_numpy(array).to(device)
        for part in (data.parts["train"], data.parts["val"])
        for array in (part.features, part.targets.astype("float32"))
    )
    layers = [hidden] if widths is None else [[width] for width in widths]
    rates = [learning_rate] if learning_rates is None else sorted(learning_rates)
    pairs = list(itertools.product(layers, rates))
    progress = Progress(log, max_epochs * len(pairs), "epochs at the most")
    tried: list[Best] = []
    for widths_here, rate in pairs:
        torch.manual_seed(seed)
        model = build(x.shape[1], widths_here, y.shape[1], dropout).to(device)
        optimizer = light(torch.optim.AdamW)(model.parameters(), lr=rate, weight_decay=weight_decay, fused=True)
        training = Training(model, optimizer, decay, batch_size, max_epochs, patience, select, seed, progress)
        epoch, worth, state, losses = training.run(x, y, x_val, y_val, data)
        tried.append(Best(worth, epoch, state, losses, widths_here, rate))
    best = max(tried, key=lambda one: one.worth)
    model = build(x.shape[1], best.hidden, y.shape[1], 0).to(device)
    model.load_state_dict(best.state)
    model.eval()
    probability = PROBABILITIES[data.task]
    with torch.inference_mode():
        scores = {
            split: probability(model(torch.from_numpy(data.parts[split].features).to(device))).cpu().numpy()
            for split in ("val", "test")
        }
    saved = {key: value.cpu().contiguous() for key, value in best.state.items()}
    saved |= {"mean": torch.from_numpy(data.mean), "std": torch.from_numpy(data.std)}
    saved["single"] = torch.tensor(data.task == "single")

    def save(path: Path) -> None:
        path.write_bytes(safetensors.torch.save(saved))

    loss = best.losses[best.epoch - 1]
    chosen: dict[str, Any] = {"epoch": best.epoch, "val_loss": loss, "val_losses": best.losses}
    if len(pairs) > 1:
        chosen |= {"hidden": list(best.hidden), "learning_rate": best.learning_rate}
        chosen["tried"] = [described(one, select) for one in tried]
    if select != "loss":
        chosen |= {"select": select, f"val_{select}": best.worth}
    if limits := limits_of(best, widths, rates, max_epochs, patience):
        chosen["limits"] = limits
    return Fitted(scores, {**chosen, "device": device.type, "torch_version": torch.__version__}, save)


class Training(NamedTuple):
    """How a perceptron is trained, with early stopping on val."""

    model: nn.Sequential
    optimizer: torch.optim.Optimizer
    decay: str
    batch_size: int
    max_epochs: int
    patience: int
    select: str
    seed: int
    progress: Progress

    def run(
        self, x: Tensor, y: Tensor, x_val: Tensor, y_val: Tensor, data: Data
    ) -> tuple[int, float, dict[str, Tensor], list[float]]:
        """Trains, and returns the best epoch, its worth and weights, and the loss on val of all epochs."""
        model, entropy = self.model, MEANS[data.task]
        with torch.no_grad():  # rare classes start at their share, not at one half
            share = (y.sum(0) + 0.5) / (len(y) + 1)
            last: Any = model[-1]
            last.bias.copy_(torch.log(share / (1 - share)))
        schedule = None
        if self.decay == "cosine":
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.max_epochs)
        order = torch.Generator().manual_seed(self.seed)
        best_worth, best_epoch, best_state = float("-inf"), 0, model.state_dict()
        losses: list[float] = []
        for epoch in range(1, self.max_epochs + 1):
            model.train()
            for rows in torch.randperm(len(x), generator=order).to(x.device).split(self.batch_size):  # type: ignore[no-untyped-call]
                loss = entropy(model(x[rows]), y[rows])
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
            if schedule is not None:
                schedule.step()
            model.eval()
            with torch.inference_mode():
                logits = model(x_val)
                losses.append(float(entropy(logits, y_val)))
                worth = -losses[-1]
                if self.select != "loss":
                    val_scores = PROBABILITIES[data.task](logits).cpu().numpy()
                    worth = quality(val_scores, data.parts["val"].targets, self.select, data.task)
            log.info("epoch %d: loss %.5f on val", epoch, losses[-1])
            self.progress.add(1)
            if worth > best_worth:
                best_worth, best_epoch, best_state = worth, epoch, copy.deepcopy(model.state_dict())
            elif epoch - best_epoch >= self.patience:
                break
        return best_epoch, best_worth, best_state, losses


def described(one: Best, select: str) -> dict[str, Any]:
    """What is said of a pair of widths and learning rate that was tried."""
    said = {"hidden": list(one.hidden), "learning_rate": one.learning_rate, "epoch": one.epoch}
    said["val_loss"] = one.losses[one.epoch - 1]
    return said if select == "loss" else {**said, f"val_{select}": one.worth}


def limits_of(
    best: Best, widths: Sequence[int] | None, rates: Sequence[float], max_epochs: int, patience: int
) -> list[str]:
    """What lies at the end of its grid or was cut short; of two values each is an end, so that it says nothing."""
    limits = []
    if len(rates) > 2 and best.learning_rate in (rates[0], rates[-1]):
        end = "smallest" if best.learning_rate == rates[0] else "largest"
        limits.append(f"took the {end} learning rate that was tried ({best.learning_rate:g})")
    if widths is not None and len(widths) > 2 and best.hidden[0] in (min(widths), max(widths)):
        end = "smallest" if best.hidden[0] == min(widths) else "largest"
        limits.append(f"took the {end} width that was tried ({best.hidden[0]})")
    if len(best.losses) - best.epoch < patience:
        limits.append(f"ended at its last epoch ({max_epochs}), while val still improved now and then")
    return limits


def read(model: Path) -> Callable[[Floats], Floats]:
    """A saved perceptron; see :mod:`earthprobe.probes.interface`."""
    tensors = safetensors.torch.load_file(model)
    mean, std = tensors.pop("mean"), tensors.pop("std")
    probability = PROBABILITIES["single" if tensors.pop("single") else "multilabel"]
    # A file has them by name, where 12 comes before 3.
    layers = sorted((key for key in tensors if key.endswith("bias")), key=lambda key: int(key.partition(".")[0]))
    widths = [len(tensors[key]) for key in layers]
    perceptron = build(len(mean), widths[:-1], widths[-1], 0).eval()
    perceptron.load_state_dict(tensors)

    @torch.inference_mode()
    def scores(embeddings: Floats) -> Floats:
        result: Floats = probability(perceptron((torch.tensor(embeddings) - mean) / std)).numpy()
        return result

    return scores
