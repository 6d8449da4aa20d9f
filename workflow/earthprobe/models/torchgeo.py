"""Models of torchgeo behind the interface of every frozen model here.

Its ResNets and ViTs are timm's, and its Swin transformers torchvision's, with other weights: they are built without
torchgeo, whose import takes longer than embedding a shard.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.models.interface import Batch, Inputs, Model, Normalization, Published
from earthprobe.models.pooling import Pooling, check, in_words, pooled
from earthprobe.models.weights import load, origin_of

MAY_LACK = {"head.weight", "head.bias", "fc.weight", "fc.bias", "norm.weight", "norm.bias", "fc_norm.weight",
            "fc_norm.bias", "mask_token", "attn_bias"}  # fmt: skip
"""Keys that torchgeo lets published checkpoints lack or have in surplus, too."""

ABSENT = "B10"
"""The band that level 2A leaves out: where weights know it, the model is as if it saw zeros after the normalisation."""

FIRST = {"conv1.weight", "patch_embed.proj.weight", "features.0.0.weight"}
"""The first layers of ResNets, ViTs and Swin transformers."""

SATLAS = 256


def _facts() -> Mapping[str, Any]:
    return registry.kind("models", "torchgeo").facts


def architecture(model: str, bands: Sequence[str]) -> nn.Module:
    """Torchgeo's model without a classifier, initialised from torch's global seed."""
    if model in _facts()["others"]:
        from earthprobe.models import torchgeo_others

        return torchgeo_others.architecture(model, bands)
    channels = len(bands)
    if model.startswith("swin"):
        import torchvision

        swin: Any = getattr(torchvision.models, model)(weights=None)
        first = swin.features[0][0]
        if channels != first.in_channels:
            swin.features[0][0] = nn.Conv2d(channels, first.out_channels, kernel_size=4, stride=4)
        swin.head = nn.Identity()
        frozen: nn.Module = swin.eval()
        return frozen
    size: dict[str, Any] = {"img_size": 224} if model.endswith("dinov2") else {}
    return timm.create_model(model, in_chans=channels, num_classes=0, **size).eval()


def published(model: str) -> Mapping[str, Published]:
    """The model's published weights by their names in torchgeo's enum."""
    others = _facts()["others"]
    if model in others:
        return {name: Published(url) for name, url in others[model]["weights"].items()}
    return {name: Published(known["url"]) for name, known in _facts()["published"][model].items()}


def tidy(state: Mapping[str, Tensor], model: str) -> dict[str, Tensor]:
    """A published state dict under the keys of the architecture, without what its first layer makes of B10."""
    if model in _facts()["others"]:
        from earthprobe.models import torchgeo_others

        return torchgeo_others.tidy(state, model)
    known = [entry["bands"] for entry in _facts()["published"][model].values() if ABSENT in entry["bands"]]
    if not known:
        return dict(state)
    kept = [number for number, band in enumerate(known[0]) if band != ABSENT]
    return {
        key: value[:, kept] if key in FIRST and value.shape[1] == len(known[0]) else value
        for key, value in state.items()
    }


def native(model: str, bands: Sequence[str], weights: str) -> Normalization | None:
    """The normalisation that torchgeo has for the weights; of untrained ones, that of the first ones for these bands.

    Returns:
        A figure a band, without B10; None where the weights were trained on something else than the bands' unit.
    """
    entries = _facts()["published"][model]
    fitting = [known for known in entries.values() if [b for b in known["bands"] if b != ABSENT] == list(bands)]
    known = entries.get(weights) or (fitting[0] if fitting else None)
    if known is None or "unit" in known:
        return None
    kept = [number for number, band in enumerate(known["bands"]) if band != ABSENT]
    mean, std = (known.get(key, [value] * len(known["bands"])) for key, value in (("mean", 0.0), ("std", 1.0)))
    return Normalization([mean[number] for number in kept], [std[number] for number in kept])


def build(
    weights: Path,
    inputs: Inputs,
    *,
    model: str,
    pooling: Pooling = "default",
    layer: int | None = None,
    wavelengths: Sequence[float] | None = None,
) -> Model:
    """A model of torchgeo for these bands.

    Args:
        weights: what the step ``embed_weights`` wrote.
        inputs: what it will see.
        model: torchgeo's name of it.
        pooling: how a vector comes from the output.
        layer: the block whose output is taken; None takes the model's own.
        wavelengths: what tells Copernicus-FM and Panopticon which band is which.

    Raises:
        UserError: the model has no such layer, no class token, or takes no wavelengths.
    """
    if model in _facts()["others"]:
        from earthprobe.models import torchgeo_others

        if pooling != "default" or layer is not None:
            raise UserError(f"{model} has its own pooling: leave `pooling` and `layer` out")
        return torchgeo_others.build(weights, inputs, model, wavelengths)
    if wavelengths is not None:
        raise UserError(f"{model} takes no wavelengths: leave them out")
    frozen: Any = load(weights, lambda: architecture(model, inputs.bands))
    size = inputs.image_size or (SATLAS if model.startswith("swin") else 224)
    if hasattr(frozen, "set_input_size"):
        frozen.set_input_size(img_size=size)
    if model.startswith("swin") and (pooling != "default" or layer is not None):
        raise UserError(f"{model} has its own pooling: leave `pooling` and `layer` out")
    check(frozen, pooling, layer)
    origin = origin_of(weights)["weights"]
    known = _facts()["published"][model].get(origin, {}).get("bands", ())
    plain = Plain(frozen, len(inputs.bands), pooling, layer, size)
    plain.settings = {"zeros": [ABSENT]} if ABSENT in known else {}
    plain.native = native(model, inputs.bands, origin)
    return plain


class Plain(Model):
    """A frozen ResNet, ViT or Swin transformer for certain bands."""

    def __init__(self, model: Any, bands: int, pooling: Pooling, layer: int | None, image_size: int) -> None:
        """Takes the model.

        Args:
            model: without a classifier.
            bands: how many it sees.
            pooling: how a vector comes from the output.
            layer: the block whose output is taken.
            image_size: pixels along a side.
        """
        super().__init__()
        self.model, self.image_size = model, image_size
        self._how: tuple[Pooling, int | None] = (pooling, layer)
        self.pooling = in_words(pooling, layer)
        with torch.inference_mode():
            self.dimensions = self._run(torch.zeros(1, bands, image_size, image_size)).shape[1]

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches; see :class:`earthprobe.models.interface.Model`."""
        return self._run(batch.pixels.to(next(self.model.parameters()).dtype)).float()

    def _run(self, x: Tensor) -> Tensor:
        if not hasattr(self.model, "forward_head"):
            vectors: Tensor = self.model(x)
            return vectors
        return pooled(self.model, x, *self._how)
