"""Writes what is known of torchgeo's weights (`published` in its YAML file) from its own enums: `make docs`.

A test holds the file to torchgeo, so that a new version of it is seen.
"""

from pathlib import Path
from typing import Any

from earthprobe.sensors import BANDS
from torch import nn
from torchgeo.models.api import get_model_weights

FILE = Path(__file__).parents[1] / "workflow/earthprobe/resources/torchgeo_weights.yaml"
MARK = "# What follows is written by config/write_torchgeo.py."

MODELS = {
    "resnet18": 224,
    "resnet50": 224,
    "resnet152": 224,
    "vit_small_patch16_224": 224,
    "vit_base_patch16_224": 224,
    "vit_large_patch16_224": 224,
    "vit_huge_patch14_224": 224,
    "vit_small_patch14_dinov2": 224,
    "vit_base_patch14_dinov2": 224,
    "swin_v2_t": 256,
    "swin_v2_b": 256,
}
"""The models whose weights are for certain bands, and the size of the images that they were trained with."""


def band(name: str) -> str:
    """Torchgeo's name of a band as the sensors have it."""
    if name.startswith("V"):
        return name
    number = name.removeprefix("B").upper()
    return f"B{number}" if number == "8A" else f"B{int(number):02d}"


def normalization(transforms: nn.Module, bands: int) -> list[tuple[list[float], list[float]]]:
    """Mean and std of each step that normalises, a figure a band."""
    steps = transforms.children() if isinstance(transforms, nn.Sequential) else []
    found = [step for step in steps if type(step).__name__ == "Normalize"]
    return [(_per_band(step.mean, bands), _per_band(step.std, bands)) for step in found]


def _per_band(figures: Any, bands: int) -> list[float]:
    return [float(figure) for figure in (figures if len(figures) > 1 else [figures[0]] * bands)]


def facts(name: str) -> dict[str, dict[str, Any]]:
    """What is known of a model's weights for Sentinel, by their names."""
    found: dict[str, dict[str, Any]] = {}
    for member in get_model_weights(name):
        if not member.name.startswith("SENTINEL") or "NDVI" in member.meta["bands"]:
            continue
        bands = [band(b) for b in member.meta["bands"]]
        if any(b not in BANDS and b != "B10" for b in bands):
            raise SystemExit(f"{name} {member.name}: unknown bands {bands}")
        steps = normalization(member.transforms, len(bands))
        entry: dict[str, Any] = {"bands": bands, "url": member.url}
        if member.name.endswith(("_SATLAS", "_RGB_SECO")):
            entry["unit"] = "numbers of 8 bits"
        elif len(steps) == 1:
            entry["mean"], entry["std"] = steps[0]
        elif steps:
            raise SystemExit(f"{name} {member.name}: {len(steps)} normalisations")
        found[member.name] = entry
    return found


def shown(value: Any) -> str:
    """A value as YAML on one line."""
    if not isinstance(value, list):
        return str(value)
    return "[" + ", ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in value) + "]"


def text() -> str:
    """The part of the YAML file that is written here."""
    lines = [MARK, "published:"]
    for name in MODELS:
        lines.append(f"  {name}:")
        for member, entry in facts(name).items():
            lines.append(f"    {member}:")
            for key, value in entry.items():
                lines.append(f"      {key}: {shown(value)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    head = FILE.read_text(encoding="utf-8").split(MARK)[0]
    FILE.write_text(head + text(), encoding="utf-8")
