"""Galileo, behind the interface of every frozen model here: written from its paper (arXiv 2502.09356).

Of the pretrained encoder that part is built which sees Sentinel-1 and Sentinel-2 at one time; what is left out takes no
part in it.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from earthprobe.errors import UserError
from earthprobe.models.interface import Batch, Inputs, Model, Normalization, Published
from earthprobe.models.weights import load


class Size(NamedTuple):
    """The size of an encoder."""

    width: int
    depth: int
    heads: int


SIZES = {"nano": Size(128, 4, 8), "tiny": Size(192, 12, 3), "base": Size(768, 12, 12)}

GROUPS = {
    "S1": ("VV", "VH"),
    "S2_RGB": ("B02", "B03", "B04"),
    "S2_Red_Edge": ("B05", "B06", "B07"),
    "S2_NIR_10m": ("B08",),
    "S2_NIR_20m": ("B8A",),
    "S2_SWIR": ("B11", "B12"),
    "NDVI": ("NDVI",),
}
"""The groups of bands, in the order of the encoder's vectors for them; NDVI is known to the encoder and not used."""

STATISTICS = {
    "VV": (-11.728724389184965, 4.887145774840316),
    "VH": (-18.85558188024017, 5.730270320384293),
    "B02": (1395.3408730676722, 917.7041440370853),
    "B03": (1338.4026921784578, 913.2988423581528),
    "B04": (1343.09883810357, 1092.678723527555),
    "B05": (1543.8607982512297, 1047.2206083460424),
    "B06": (2186.2022069512263, 1048.0101611156767),
    "B07": (2525.0932853316694, 1143.6903026819996),
    "B08": (2410.3377187373408, 1098.979177731649),
    "B8A": (2750.2854646886753, 1204.472755085893),
    "B11": (2234.911100061487, 1145.9774063078878),
    "B12": (1474.5311266077113, 980.2429840007796),
}
"""Mean and deviation of each band in pretraining, in dB and reflectance x 10,000 (``normalization.json``, entry 13).

A value becomes (value - (mean - 2 std)) / (4 std).
"""

CELL = 8
"""Pixels along a side of the cells that the patch embeddings are stored for."""

TIMES = 24
"""Points in time that the encoder knows; of one image it is the first."""

SHA256 = {"nano": "eab6acacf527886a508a555bc24efe4b4a2cf91b162e84cd1c4a1807e942180c"}


def architecture(model: str, bands: Sequence[str] = ()) -> nn.Module:
    """The encoder, initialised from torch's global seed; the same for all bands."""
    return Encoder(SIZES[model])


def published(model: str) -> Mapping[str, Published]:
    """Where the authors publish the weights."""
    url = f"https://huggingface.co/nasaharvest/galileo/resolve/main/models/{model}/encoder.pt"
    return {"published": Published(url, SHA256.get(model, ""))}


def tidy(state: Mapping[str, Tensor], model: str) -> dict[str, Tensor]:
    """The published state dict as the encoder here has it: no surplus level, one matrix for query, key and value."""
    plain = {key.replace(".backbone", ""): value for key, value in state.items()}
    tidied = {}
    for key, value in plain.items():
        if key.startswith(OF_OTHER_DATA):
            continue
        if ".attn.q." in key:
            parts = [plain.get(key.replace(".attn.q.", f".attn.{part}.")) for part in "qkv"]
            tidied[key.replace(".attn.q.", ".attn.qkv.")] = torch.cat([part for part in parts if part is not None])
        elif ".attn.k." not in key and ".attn.v." not in key:
            tidied[key] = value
    return tidied


OF_OTHER_DATA = (
    "space_embed.",
    "time_embed.",
    "static_embed.",
    "sp_channel_embed",
    "t_channel_embed",
    "st_channel_embed",
)


class Encoder(nn.Module):
    """The part of the encoder that sees images of the two sensors.

    Its parameters are called as in the published state dict.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        part = size.width // 4
        self.pos_embed = nn.Parameter(_waves(torch.arange(TIMES), part))
        self.s_t_channel_embed = nn.Parameter(torch.zeros(len(GROUPS), part))
        self.month_embed = nn.Embedding.from_pretrained(_months(part))  # type: ignore[no-untyped-call]
        self.space_time_embed = nn.ModuleDict(
            {
                name: nn.ModuleDict({"proj": nn.Conv2d(len(bands), size.width, CELL, CELL)})
                for name, bands in GROUPS.items()
            }
        )
        self.blocks = nn.ModuleList(
            [Block(size.width, size.heads, qkv_bias=True, norm_layer=nn.LayerNorm) for _ in range(size.depth)]
        )
        self.norm = nn.LayerNorm(size.width)
        self.apply(_initialise)


def _initialise(module: nn.Module) -> None:
    """The authors' initial values of a linear layer, so that an untrained model is one before its training."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def build(weights: Path, inputs: Inputs, *, model: str, patch_size: int = CELL) -> "Galileo":
    """Galileo for these bands.

    Args:
        weights: what the step ``embed_weights`` wrote.
        inputs: what it will see.
        model: its size.
        patch_size: pixels along a side of a cell.

    Raises:
        UserError: the cells do not fit the patches.
    """
    side = inputs.image_size or inputs.size
    if side % patch_size:
        raise UserError(f"patch_size {patch_size} does not divide a patch of {side} pixels")
    return Galileo(load(weights, lambda: architecture(model)), inputs, patch_size, side // patch_size)


class Galileo(Model):
    """Frozen Galileo for a fixed set of bands."""

    pooling = "mean of all tokens after the last LayerNorm"

    def __init__(self, encoder: nn.Module, inputs: Inputs, patch_size: int, cells: int) -> None:
        """Takes what these bands need out of the encoder.

        Args:
            encoder: an :class:`Encoder`, float32.
            inputs: what it will see.
            patch_size: pixels along a side of a cell.
            cells: how many there are along a side of a patch.
        """
        super().__init__()
        bands = list(inputs.bands)
        self.settings = {"patch_size": patch_size}
        self.native = Normalization(
            [STATISTICS[band][0] - 2 * STATISTICS[band][1] for band in bands],
            [4 * STATISTICS[band][1] for band in bands],
        )
        parts: dict[str, nn.Parameter] = dict(encoder.named_parameters())
        part = parts["pos_embed"].shape[1]
        self._groups = [
            (name, [bands.index(band) for band in GROUPS[name]]) for name in GROUPS if GROUPS[name][0] in bands
        ]
        self.patch_size = patch_size
        # A place is counted on the ground, in pixels of 10 m.
        steps = torch.arange(cells) * inputs.size / cells
        row, column = torch.meshgrid(steps, steps, indexing="ij")
        place = torch.cat([_waves(column, part // 2), _waves(row, part // 2)], dim=1)
        empty = torch.zeros(len(place), part)
        for name, _ in self._groups:
            number = list(GROUPS).index(name)
            fixed = [
                parts["s_t_channel_embed"][number].expand(len(place), -1),
                parts["pos_embed"][0] + empty,
                empty,
                place,
            ]
            convolution = f"space_time_embed.{name}.proj"
            self.register_buffer(f"position_{name}", torch.cat(fixed, dim=1).detach())
            self.register_buffer(f"kernel_{name}", _resized(parts[f"{convolution}.weight"].detach(), patch_size))
            self.register_buffer(f"bias_{name}", parts[f"{convolution}.bias"].detach())
        months = parts["month_embed.weight"].detach()
        self.months: Tensor
        self.register_buffer("months", F.pad(months, (2 * part, part)))
        self.blocks: nn.ModuleList = encoder.blocks  # type: ignore[assignment]
        self.norm: nn.LayerNorm = encoder.norm  # type: ignore[assignment]
        self.dimensions = months.shape[1] * 4

    def place(self, device: str, dtype: torch.dtype) -> Self:
        """Moves the model; the transformer computes in ``dtype``, pooling in float32."""
        self.to(device, dtype)
        self.norm.float()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches; see :class:`earthprobe.models.interface.Model`."""
        assert batch.dates is not None  # noqa: S101 - the YAML file says that it needs them
        pixels = batch.pixels.to(self.months.dtype)
        month = self.months[batch.dates[:, 0].long(), None]
        tokens = []
        for name, bands in self._groups:
            kernel, bias, position = (self.get_buffer(f"{part}_{name}") for part in ("kernel", "bias", "position"))
            cells = F.conv2d(pixels[:, bands], kernel, bias, stride=self.patch_size)
            tokens.append(cells.flatten(2).transpose(1, 2) + position + month)
        x = torch.cat(tokens, dim=1)
        for block in self.blocks:
            x = block(x)
        vectors: Tensor = self.norm(x.float()).mean(dim=1)
        return vectors


def _waves(positions: Tensor, width: int) -> Tensor:
    """Sines, then cosines of positions, shape (positions, width); the wavelengths are those of Galileo's authors."""
    frequencies = 10_000 ** (-torch.arange(width // 2, dtype=torch.float64) / width / 2)
    angles = positions.flatten().double()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def _months(width: int) -> Tensor:
    """The twelve months on a circle, shape (12, width)."""
    angles = (torch.arange(12) / 12 * 2 * math.pi)[:, None].expand(-1, width // 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _resized(kernel: Tensor, size: int) -> Tensor:
    """A patch embedding for cells of another size, by the pseudo-inverse of the resize (FlexiViT, arXiv 2212.08013)."""
    if size == CELL:
        return kernel
    basis = torch.eye(CELL * CELL).view(-1, 1, CELL, CELL)
    resize = F.interpolate(basis, size=(size, size), mode="bicubic", antialias=True).flatten(1)
    inverse = torch.linalg.pinv(resize)
    resized: Tensor = (kernel.flatten(2) @ inverse.T).view(*kernel.shape[:2], size, size)
    return resized
