"""Models of torchgeo that take more than one set of bands: CROMA, Copernicus-FM and Panopticon."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchgeo.models import copernicusfm_base, croma_base, croma_large, panopticon_vitb14
from torchgeo.models.copernicusfm import resize_abs_pos_embed
from torchgeo.models.croma import get_2dalibi

from earthprobe.errors import UserError
from earthprobe.models.baked import BakedVit, cells_of
from earthprobe.models.interface import Batch, Inputs, Model, Normalization
from earthprobe.models.weights import load
from earthprobe.sensors import BANDS

MODALITIES = {(2,): ["sar"], (12,): ["optical"], (2, 12): ["sar", "optical"]}
"""CROMA's parts, by how many bands of each sensor there are."""

BANDWIDTHS = {
    "B01": 20, "B02": 65, "B03": 35, "B04": 30, "B05": 15, "B06": 15, "B07": 20, "B08": 115, "B8A": 20, "B09": 20,
    "B11": 90, "B12": 180,
}  # fmt: skip
"""In nanometres, as Copernicus-FM's authors give them; of Sentinel-1 it is :data:`RADAR`'s second figure."""

CENTRES = {
    "B01": 440, "B02": 490, "B03": 560, "B04": 665, "B05": 705, "B06": 740, "B07": 783, "B08": 842, "B8A": 860,
    "B09": 940, "B11": 1610, "B12": 2190,
}  # fmt: skip
"""The wavelengths of Sentinel-2 that Copernicus-FM was trained with, in nanometres."""

RADAR = (5e7, 1e9)
"""Wavelength and bandwidth of Sentinel-1 in nanometres, as Copernicus-FM was trained with."""

CHANNELS = {"VV": -1, "VH": -2}
"""Panopticon's numbers of Sentinel-1's channels where the direction of the orbit is not told."""

PATCH = 16  # of Copernicus-FM, pixels
CELL = 14  # of Panopticon, pixels


def architecture(model: str, bands: Sequence[str]) -> nn.Module:
    """Torchgeo's model, initialised from torch's global seed; of CROMA the parts that these bands need."""
    match model:
        case "croma_base" | "croma_large":
            make = croma_base if model == "croma_base" else croma_large
            built: nn.Module = make(modalities=_modalities(bands))
        case "copernicusfm_base":
            built = copernicusfm_base()
        case _:
            built = panopticon_vitb14().model
    return built.eval()


def tidy(state: Mapping[str, Tensor], model: str) -> dict[str, Tensor]:
    """A published state dict for the size of 224 pixels; Panopticon's is for 518."""
    tidied = dict(state)
    if model == "panopticon_vitb14" and tidied["pos_embed"].shape[1] != 1 + (224 // CELL) ** 2:
        tidied["pos_embed"] = resize_abs_pos_embed(tidied["pos_embed"], 224 // CELL, 518 // CELL)
    return tidied


def build(weights: Path, inputs: Inputs, model: str, wavelengths: Sequence[float] | None) -> Model:
    """The model for these bands; see :func:`earthprobe.models.torchgeo.build`."""
    if model.startswith("croma"):
        if wavelengths is not None:
            raise UserError(f"{model} takes no wavelengths: leave them out")
        size = inputs.image_size or 120
        if size % 8:
            raise UserError(f"image_size: {model} takes a multiple of 8 pixels, not {size}")
        croma: Any = load(weights, lambda: architecture(model, inputs.bands))
        if size != croma.image_size:  # the bias of the attention depends on the size, and is not trained
            croma.attn_bias = get_2dalibi(croma.num_heads, (size // 8) ** 2)
        return Croma(croma, inputs, size)
    frozen: Any = load(weights, lambda: architecture(model, inputs.bands))
    size = inputs.image_size or 224
    made: Model
    if model == "copernicusfm_base":
        made = copernicus(frozen, inputs.bands, wavelengths, size)
    else:
        if wavelengths is None:
            wavelengths = [CHANNELS.get(band, 1000 * (inputs.wavelength_of(band) or 0)) for band in inputs.bands]
        made = Panopticon(frozen, wavelengths, size)
    # Both were trained on images that were standardised by their own data set.
    made.native = Normalization(inputs.mean, inputs.std)
    made.image_size = size
    return made


def _modalities(bands: Sequence[str]) -> list[str]:
    counts = [sum(BANDS[band].sensor == sensor for band in bands) for sensor in ("s1", "s2")]
    return MODALITIES[tuple(count for count in counts if count)]


class Croma(Model):
    """Frozen CROMA: its global vector of each sensor, or of both together."""

    def __init__(self, model: Any, inputs: Inputs, image_size: int) -> None:
        """Takes the model.

        Args:
            model: CROMA of torchgeo, with the parts that the bands need.
            inputs: what it will see.
            image_size: pixels along a side.
        """
        super().__init__()
        self.model, self.image_size = model, image_size
        self._radar = sum(band in ("VV", "VH") for band in inputs.bands)
        self._output = {2: "joint_GAP", 1: f"{model.modalities[0]}_GAP"}[len(model.modalities)]
        self.pooling = f"CROMA's {self._output}"
        self.settings = {"modalities": list(model.modalities)}
        # As its authors prepare images: two deviations below the mean become 0, two above 1.
        self.native = Normalization(
            [mean - 2 * std for mean, std in zip(inputs.mean, inputs.std, strict=True)],
            [4 * std for std in inputs.std],
            (0.0, 1.0),
        )
        self.dimensions = model.encoder_dim

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches; see :class:`earthprobe.models.interface.Model`."""
        pixels = batch.pixels.to(next(self.model.parameters()).dtype)
        radar, optical = pixels[:, : self._radar], pixels[:, self._radar :]
        seen = {"x_sar": radar} if self._radar else {}
        seen |= {"x_optical": optical} if optical.shape[1] else {}
        vectors: Tensor = self.model(**seen)[self._output]
        return vectors.float()


def copernicus(model: Any, bands: Sequence[str], wavelengths: Sequence[float] | None, image_size: int) -> BakedVit:
    """Copernicus-FM without place, date and area: what these add is then the same for every patch."""
    radar = [band in ("VV", "VH") for band in bands]
    if wavelengths is None:
        wavelengths = [RADAR[0] if is_radar else CENTRES[band] for band, is_radar in zip(bands, radar, strict=True)]
    bandwidths = [RADAR[1] if is_radar else BANDWIDTHS[band] for band, is_radar in zip(bands, radar, strict=True)]
    embed = model.patch_embed_spectral
    with torch.inference_mode():
        waves = embed.spectrum_central_expansion(torch.tensor(wavelengths).float(), embed.hyper_dim)
        waves = waves + embed.spectrum_bandwidth_expansion(torch.tensor(bandwidths).float(), embed.hyper_dim)
        weight, bias = embed._get_weights(embed.fclayer(waves))
        side = int(model.num_patches**0.5)
        cells = cells_of(image_size, PATCH)
        position = resize_abs_pos_embed(model.pos_embed, cells, (side, side), num_prefix_tokens=1)
        for part in ("coord", "scale", "time"):
            position = position + getattr(model, f"{part}_fc")(getattr(model, f"{part}_token"))
    kernel = weight.view(len(bands), PATCH, PATCH, embed.embed_dim).permute(3, 0, 1, 2)
    baked = BakedVit(
        kernel * embed.scaler, bias.flatten() * embed.scaler, position, model.cls_token, model.blocks, model.fc_norm
    )
    baked.settings = {"wavelengths": list(wavelengths), "bandwidths": bandwidths}
    return baked


class Panopticon(Model):
    """Frozen Panopticon: a ViT behind attention over the channels."""

    pooling = "class token after the last LayerNorm"

    def __init__(self, model: Any, wavelengths: Sequence[float], image_size: int) -> None:
        """Takes the model.

        Args:
            model: the ViT of torchgeo's.
            wavelengths: a channel number a band: nanometres, or negative of radar.
            image_size: pixels along a side.
        """
        super().__init__()
        if image_size % CELL:
            raise UserError(f"image_size: panopticon_vitb14 takes a multiple of {CELL} pixels, not {image_size}")
        self.settings = {"wavelengths": list(wavelengths)}
        self.model = model
        if image_size != 224:
            model.pos_embed = nn.Parameter(resize_abs_pos_embed(model.pos_embed, image_size // CELL, 224 // CELL))
        self.channels: Tensor
        self.register_buffer("channels", torch.tensor(wavelengths, dtype=torch.float64))
        self.dimensions = model.embed_dim

    def forward(self, batch: Batch) -> Tensor:
        """Embeds patches; see :class:`earthprobe.models.interface.Model`."""
        pixels = batch.pixels.to(next(self.model.parameters()).dtype)
        # A copy each time, since the model rounds the numbers in place.
        numbers = self.channels.float().repeat(len(pixels), 1)
        vectors: Tensor = self.model({"imgs": pixels, "chn_ids": numbers})
        return vectors.float()
