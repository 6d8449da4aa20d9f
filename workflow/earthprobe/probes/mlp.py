"""A multi-layer perceptron trained by AdamW and stopped early on val."""

import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from earthprobe.probes.interface import Data, Fitted, Floats
from earthprobe.probes.losses import MEANS, PROBABILITIES
from earthprobe.progress import Progress

log = logging.getLogger(__name__)


def build(dimensions: int, hidden: Sequence[int], classes: int, dropout: float) -> nn.Sequential:
    """The perceptron: a linear layer, GELU and dropout for each hidden width, and a linear layer to the classes."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(dimensions, width), nn.GELU(), nn.Dropout(dropout)]
        dimensions = width
    return nn.Sequential(*layers, nn.Linear(dimensions, classes))


def fit(
    data: Data,
    *,
    threads: int,
    hidden: Sequence[int] = (512,),
    learning_rate: float = 0.0003,
    weight_decay: float = 0.01,
    dropout: float = 0.2,
    batch_size: int = 64,
    max_epochs: int = 100,
    patience: int = 10,
    seed: int = 0,
) -> Fitted:
    """Trains on cross-entropy, binary or of the softmax, and keeps the epoch with the lowest loss on val."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x, y, x_val, y_val = (
        torch.from_numpy(array).to(device)
        for part in (data.parts["train"], data.parts["val"])
        for array in (part.features, part.targets.astype("float32"))
    )
    entropy, probability = MEANS[data.task], PROBABILITIES[data.task]
    model = build(x.shape[1], hidden, y.shape[1], dropout).to(device)
    with torch.no_grad():  # rare classes start at their share, not at one half
        share = (y.sum(0) + 0.5) / (len(y) + 1)
        last: Any = model[-1]
        last.bias.copy_(torch.log(share / (1 - share)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    order = torch.Generator().manual_seed(seed)
    best_loss, best_epoch, best_state = float("inf"), 0, model.state_dict()
    losses: list[float] = []
    progress = Progress(log, max_epochs, "epochs at the most")
    for epoch in range(1, max_epochs + 1):
        model.train()
        for rows in torch.randperm(len(x), generator=order).to(device).split(batch_size):  # type: ignore[no-untyped-call]
            loss = entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            val_loss = float(entropy(model(x_val), y_val))
        losses.append(val_loss)
        log.info("epoch %d: loss %.5f on val", epoch, val_loss)
        progress.add(1)
        if val_loss < best_loss:
            best_loss, best_epoch, best_state = val_loss, epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= patience:
            break
    model.load_state_dict(best_state)
    with torch.inference_mode():
        scores = {
            split: probability(model(torch.from_numpy(data.parts[split].features).to(device))).cpu().numpy()
            for split in ("val", "test")
        }
    tensors = {key: value.cpu().contiguous() for key, value in best_state.items()}
    tensors |= {"mean": torch.from_numpy(data.mean), "std": torch.from_numpy(data.std)}
    tensors["single"] = torch.tensor(data.task == "single")

    def save(path: Path) -> None:
        path.write_bytes(safetensors.torch.save(tensors))

    chosen: dict[str, Any] = {"epoch": best_epoch, "val_loss": best_loss, "val_losses": losses}
    if epoch - best_epoch < patience:
        chosen["limits"] = [f"ended at its last epoch ({max_epochs}), while the loss on val still fell now and then"]
    return Fitted(scores, {**chosen, "device": device.type, "torch_version": torch.__version__}, save)


def read(model: Path) -> Callable[[Floats], Floats]:
    """A saved perceptron; see :mod:`earthprobe.probes.interface`."""
    tensors = safetensors.torch.load_file(model)
    mean, std = tensors.pop("mean"), tensors.pop("std")
    probability = PROBABILITIES["single" if tensors.pop("single") else "multilabel"]
    widths = [len(value) for key, value in tensors.items() if key.endswith("bias")]
    perceptron = build(len(mean), widths[:-1], widths[-1], 0).eval()
    perceptron.load_state_dict(tensors)

    @torch.inference_mode()
    def scores(embeddings: Floats) -> Floats:
        result: Floats = probability(perceptron((torch.tensor(embeddings) - mean) / std)).numpy()
        return result

    return scores
