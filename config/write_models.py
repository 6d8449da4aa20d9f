"""Writes docs/models.md, a row for each model and its published weights: `make docs`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from earthprobe import registry
from earthprobe.models.protocols import PROTOCOLS
from earthprobe.sensors import bands_of
from earthprobe.storage.files import read_csv
from earthprobe.storage.markdown import grid

FILE = Path(__file__).parents[1] / "docs/models.md"

HEADING = (
    "kind",
    "model",
    "weights",
    "bands",
    "pixels",
    "size",
    "parameters, M",
    "dimensions",
    "licence",
    "trained on",
)

SSL4EO = "SSL4EO-S12: 251,079 places around cities of the whole world, Europe among them"
TRAINED = {
    "SATLAS": "Satlas: the whole world",
    "SECO": "SeCo or SeCo-Eco: places sampled over the whole world",
    "CLOSP": "CrisisLandMark: land cover of CORINE and Dynamic World, and disasters",
    "CROMA": SSL4EO,
    "Copernicus": "Copernicus-Pretrain: the whole world",
    "VIT_BASE14": "fMoW, MMEarth, SatlasPretrain and others: the whole world",
    "DOFA": "Satlas, NAIP, EnMAP and others: the whole world",
    "published": "127,155 places of the whole world",
}
"""What weights were trained on, by a part of their name; those of SSL4EO-S12 have none of these."""

LICENCES = {"galileo": "MIT", "dofa": "CC-BY-4.0"}
SOURCES = {"wangyi111": "CC-BY-4.0"}
"""Licences as they stand where the weights are published, by a part of the address."""

INTRODUCTION = """\
<!-- Made by `make docs`. -->
# Models

Each row is a model with its published weights, as a configuration names them: `{kind: ..., model: ..., weights:
..., bands: [...]}`. Every model can be had untrained, too (`weights: random:0`), and from a file of yours (its
path). `pixels` says what `normalization: native` makes of the archive's: dB or reflectance x 10,000, less a mean
and divided by a deviation, a figure a band (`config/write_torchgeo.py` and `models/galileo.py` have the figures and
their sources). B10 is not in level 2A: where weights know it, the model sees zeros after the normalisation, and the
features' metadata say so.

**Was it trained on what it is judged by?** All weights were trained on images of regions that hold Europe, so that
the places of BigEarthNet, and sometimes its very scenes, may have been seen without labels. SoftCon's were guided
by the labels of Dynamic World, and CrisisLandMark has labels of CORINE, as BigEarthNet has; whether it holds
patches of BigEarthNet, its publication must say.

None of the weights but Galileo's could be run here: they are downloaded and checked by the hash in their name, or
by none where there is none. The architectures are compared with torchgeo's and timm's own by random weights.

"""

END = """

Models of `timm` are not listed: any of its names serves (`kind: timm`), with the red, green and blue of Sentinel-2
or a false colour of Sentinel-1. `statistics`, `rcf` and `location` are controls, which have no weights; `file`
takes vectors from elsewhere, and `callable` and a path ending in .py take a model of your own
([extending.md](extending.md)).

## What DOFA sees of radar

DOFA generates a kernel for each band from its wavelength, and nothing else: bands of equal wavelengths get equal
kernels (their difference is exactly 0), and the patch embedding adds up what they see. With the published setting
for Sentinel-1, 3.75 for both polarisations, it sees the sum of the normalised VV and VH alone: their difference is
lost, and the order of the bands has no effect. A run says so at its start and below its tables. `combine: concat`
sees one band after the other, and `wavelengths: [3.75, 5.405]` tells them apart; `config/bigearthnet-v1.yaml` has
both beside the study's setting. Nor is the setting agreed upon: torchgeo documents 3.75, and the authors' README
loads the same file with 5.405; under random weights the vectors of the two have a cosine of 0.37.

{protocols}
What each costs on your machine (operations, patches a second, memory, energy, bytes) is in `tables/cost_<label
set>.md` of your own study.

"""

PROTOCOL = """\
## As another benchmark does it

`protocol: NAME` in a feature set prepares pixels as another benchmark does, so that a row can stand beside its rows.
It z-scores, and sets `normalization`, `image_size` and, of DOFA, `wavelengths`; these are then left out. What a
benchmark does with the vectors (probe, scaling, refit, averaging) is the probe's business.

"""

DIFFERENCES = {
    "copernicus-bench": "figures of its own for all models, which are not those of the train split; resized so that the"
    " corners stay corners (`align_corners`), where torchgeo-bench and the default here keep pixels' centres; DOFA"
    " is told the rounded wavelengths of its band table",
    "torchgeo-bench": "figures of the data set it runs on, here those of the train split; everything is resized to 224"
    " pixels, statistics and random features, too, and so are models made for another size; statistics are those of raw"
    " pixels, with a deviation that divides by n - 1, where `statistics` here divides by n",
}
"""What is peculiar to a protocol, for a reader who compares rows."""


MEASURED = (
    ("dofa", "dofa_base_patch16_224", "embed_cpu"),
    ("torchgeo", "vit_small_patch16_224", "embed_vit_small"),
    ("torchgeo", "vit_base_patch14_dinov2", "embed_dinov2_base"),
    ("torchgeo", "resnet50", "embed_resnet50"),
    ("timm", "vit_base_patch16_224", "embed_timm_base"),
)
"""Rows of `make bench`: patches of Sentinel-1 a second, ours in bfloat16, and the library's forward pass in float32."""


def costs() -> str:
    """The section on what was measured here."""
    found = {row["name"]: row for row in read_csv(FILE.with_name("performance.csv"))}
    figures = ("ours", "other", "ratio", "machine")
    rows = [[*names, name, *(found[name][key] for key in figures)] for *names, name in MEASURED]
    heading = ("kind", "model", "row of `make bench`", "patches/s", "its own library, float32", "times faster", "on")
    return f"## What it costs\n\n{grid(heading, rows, (3, 4, 5))}\n\n"


def protocols() -> str:
    """The section on other benchmarks' preparation."""
    rows = []
    for name, known in PROTOCOLS.items():
        sizes = ", ".join([str(known.image_size), *(f"{size} ({model})" for model, size in known.sizes.items())])
        rows.append([name, " ".join(known.kinds), sizes, DIFFERENCES[name], known.source])
    return PROTOCOL + grid(("protocol", "kinds", "size", "what is peculiar to it", "source"), rows, (2,))


def entries() -> Iterator[tuple[str, str, str, Sequence[str], str, str, str]]:
    """Kind, model, weights, bands, what its pixels become, the size of an image, and where the weights are."""
    s2 = [band for band in bands_of("s2") if band not in ("B01", "B09")]
    for model in registry.kind("models", "galileo").facts["options"]["model"]["enum"]:
        yield "galileo", model, "published", ["VV", "VH", *s2], "(x - mean + 2 std) / 4 std", "120", "nasaharvest"
    facts = registry.kind("models", "dofa").facts
    for model in facts["options"]["model"]["enum"]:
        yield "dofa", model, facts["weights"][0], ["any"], "z-score of the train split", "224", "torchgeo"
    facts = registry.kind("models", "torchgeo").facts
    for model in facts["options"]["model"]["enum"]:
        known = facts["others"].get(model)
        if known:
            pixels = "mean +- 2 std to 0 to 1" if model.startswith("croma") else "z-score of the train split"
            bands = ["VV", "VH, and/or all 12 of Sentinel-2"] if model.startswith("croma") else ["any"]
            for weights, url in known["weights"].items():
                yield "torchgeo", model, weights, bands, pixels, str(known["size"]), url
            continue
        for weights, entry in facts["published"][model].items():
            yield "torchgeo", model, weights, entry["bands"], shown(entry), size(model), entry["url"]


def size(model: str) -> str:
    """Pixels along a side."""
    return "256" if model.startswith("swin") else "224"


def shown(entry: dict[str, Any]) -> str:
    """What becomes of pixels, in a few words."""
    if "unit" in entry:
        return f"{entry['unit']}: native is refused"
    if "std" not in entry:
        return "as they are"
    if set(entry["std"]) == {10000}:
        return "x / 10,000"
    figures = ", ".join(f"{m:g} +- {s:g}" for m, s in zip(entry["mean"], entry["std"], strict=True))
    return figures if len(entry["std"]) < 4 else "mean and std of its own"


def counted(kind: str, model: str, bands: Sequence[str]) -> tuple[str, str]:
    """Parameters in millions, and the length of a vector, by building the model without memory."""
    seen = ["VV", "VH"] if bands[0] in ("any", "VV") else [band for band in bands if band != "B10"]
    with torch.device("meta"):
        built = registry.load("models", kind).architecture(model, seen)
    parameters = sum(parameter.numel() for parameter in built.parameters()) / 1e6
    width = (
        next(
            int(getattr(built, name))
            for name in ("num_features", "encoder_dim", "embed_dim", "dimensions")
            if isinstance(getattr(built, name, None), int)
        )
        if kind != "dofa" and not model.startswith(("swin", "copernicus", "nano", "tiny", "base"))
        else WIDTHS[model]
    )
    return f"{parameters:.1f}", str(width)


WIDTHS = {
    "dofa_base_patch16_224": 768,
    "dofa_large_patch16_224": 1024,
    "swin_v2_t": 768,
    "swin_v2_b": 1024,
    "copernicusfm_base": 768,
    "nano": 128,
    "tiny": 192,
    "base": 768,
}
"""The lengths of vectors that a model does not say by itself."""


def text() -> str:
    """The whole page."""
    body = []
    cache: dict[tuple[str, int], tuple[str, str]] = {}
    for kind, model, weights, bands, pixels, side, source in entries():
        key = model, len(bands)
        cache[key] = cache.get(key) or counted(kind, model, bands)
        licence = LICENCES.get(kind) or next((v for k, v in SOURCES.items() if k in source), "see its source")
        trained = next((value for part, value in TRAINED.items() if part in weights), SSL4EO)
        names = " ".join(bands) if len(bands) < 5 else f"{bands[0]} to {bands[-1]} ({len(bands)})"
        body.append([kind, model, weights, names, pixels, side, *cache[key], licence, trained])
    return INTRODUCTION + grid(HEADING, body, (5, 6, 7)) + END.replace("{protocols}", protocols() + "\n\n" + costs())


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
