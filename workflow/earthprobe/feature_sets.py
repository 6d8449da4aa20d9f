"""Sees before any job whether a feature set's model fits what it would see."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from earthprobe import registry
from earthprobe.errors import UserError
from earthprobe.models.protocols import PROTOCOLS
from earthprobe.sensors import BANDS, SIZE, Band

ABSENT = "B10"
"""The band that level 2A leaves out: a model that knows it sees zeros."""


class FeatureSet(NamedTuple):
    """An entry of the configuration.

    Attributes:
        name: what the configuration calls it.
        entry: its options, with all defaults.
        facts: what the YAML file of its kind says.
        archive: the archive's bands.
    """

    name: str
    entry: Mapping[str, Any]
    facts: Mapping[str, Any]
    archive: Mapping[str, Band]

    @property
    def bands(self) -> Sequence[str]:
        """The bands that it sees; none where it sees no pixels."""
        bands: Sequence[str] = self.entry.get("bands", [])
        return bands

    @property
    def model(self) -> str:
        """What an error calls the model."""
        return " ".join(filter(None, (self.entry["kind"], self.entry.get("model"))))

    def error(self, key: str, text: str) -> UserError:
        """What is wrong with one of its keys."""
        return UserError(f"config: features.{self.name}{'.' if key else ''}{key}: {text}")


def check_bands(
    archive: Mapping[str, Any], bands: Mapping[str, Band], features: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuses bands that the archive does not have.

    Args:
        archive: as the configuration has it.
        bands: the archive's.
        features: the feature sets by their names.

    Raises:
        UserError: a feature set has another.
    """
    for name, feature_set in features.items():
        for band in feature_set.get("bands", ()):
            if band in bands:
                continue
            known = bands if archive["kind"] == "table" else BANDS
            raise UserError(f"config: features.{name}.bands: {band!r} is unknown: one of {', '.join(known)}")


def check_feature_set(name: str, entry: Mapping[str, Any], archive: str, bands: Mapping[str, Band] = BANDS) -> None:
    """Refuses a feature set whose model does not fit its bands, their unit, its size, its weights or the archive.

    Args:
        name: what the configuration calls it.
        entry: its options, with all defaults.
        archive: the archive's kind.
        bands: the archive's.

    Raises:
        UserError: it does not fit.
    """
    features = FeatureSet(name, entry, registry.kind("models", entry["kind"]).facts, bands)
    _check_protocol(features)
    _check_lengths(features)
    _check_unit(features)
    _check_wavelengths(features)
    _check_groups(features)
    _check_sets(features)
    _check_published(features)
    _check_cells(features)
    _check_known(features, archive)
    _check_files(features)


def _check_lengths(features: FeatureSet) -> None:
    for option, described in features.facts["options"].items():
        values = features.entry.get(option)
        if described.get("one_a_band") and values is not None and len(values) != len(features.bands):
            raise features.error(
                option,
                f"give one for each band, in their order: {len(values)} given for {', '.join(features.bands)}",
            )


def _check_protocol(features: FeatureSet) -> None:
    """Refuses a protocol that does not know the model or its bands, and options that it sets beside it."""
    name = features.entry.get("protocol")
    if name is None:
        return
    protocol = PROTOCOLS[name]
    if features.entry["kind"] not in protocol.kinds:
        raise features.error("protocol", f"{name} has none of {features.model}: it is for {', '.join(protocol.kinds)}")
    for part, reason in protocol.refused.items():
        if part in features.entry.get("weights", ""):
            raise features.error("protocol", f"{name} is not to be had with these weights: {reason}")
    unknown = [band for band in features.bands if protocol.figures and band not in protocol.figures]
    if unknown:
        raise features.error("protocol", f"{name} has no figures of {', '.join(unknown)}: take other bands")
    for key in ("normalization", "image_size", *(["wavelengths"] if protocol.wavelengths else [])):
        described = features.facts["options"].get(key)
        if described and features.entry[key] != described["default"]:
            raise features.error(key, f"protocol: {name} sets it: leave {key} out")


def _check_unit(features: FeatureSet) -> None:
    """Refuses pixels in a unit that the model was not made for.

    A z-score can be had of every unit; ``any`` takes pixels as they are.
    """
    wanted = features.facts.get("unit", "z-score")
    if wanted in ("any", "z-score"):
        return
    for band in features.bands:
        unit = features.archive[band].unit
        if unit != wanted:
            raise features.error(
                "bands",
                f"{band} is in {unit}, but {features.model} needs {wanted}: take other bands, or another model",
            )


def _check_wavelengths(features: FeatureSet) -> None:
    """Refuses bands without a wavelength where the model must be told one."""
    others = features.facts.get("others", {}).get(features.entry.get("model"), {})
    if not (features.facts.get("wavelengths") or others.get("wavelengths")) or features.entry["wavelengths"]:
        return
    for band in features.bands:
        if features.archive[band].wavelength is None and features.archive[band].sensor != "s1":
            raise features.error(
                "wavelengths", f"{features.model} must be told the wavelength of {band}: give archive.bands.{band} one"
            )


def _check_groups(features: FeatureSet) -> None:
    """Refuses bands that the model does not know, or takes together with others only."""
    groups: Sequence[Sequence[str]] = features.facts.get("groups", ())
    for band in features.bands if groups else ():
        group = next((group for group in groups if band in group), None)
        if group is None:
            known = ", ".join(member for group in groups for member in group)
            raise features.error("bands", f"{features.model} does not know {band}: it takes {known}")
        absent = [member for member in group if member not in features.bands]
        if absent:
            raise features.error(
                "bands",
                f"{features.model} takes {', '.join(group)} together: add {', '.join(absent)}, or take {band} out",
            )


def _check_sets(features: FeatureSet) -> None:
    """Refuses bands of a model that takes some sets of them only, and wavelengths of one that has no use for them."""
    if "others" not in features.facts:
        return
    known = features.facts["others"].get(features.entry["model"], {})
    sets = known.get("sets")
    if sets and list(features.bands) not in sets:
        choices = "; or ".join(", ".join(bands) for bands in sets)
        raise features.error("bands", f"{features.model} takes, in this order, {choices}")
    unknown = [band for band in features.bands if band not in known.get("known", features.bands)]
    if unknown:
        raise features.error(
            "bands", f"{features.model} does not know {unknown[0]}: it takes {', '.join(known['known'])}"
        )
    if features.entry.get("wavelengths") is not None and not known.get("wavelengths"):
        raise features.error("wavelengths", f"{features.model} takes none: leave them out")


def _check_published(features: FeatureSet) -> None:
    """Refuses bands, their order or their unit where the model's weights were trained on others."""
    published = features.facts.get("published", {}).get(features.entry.get("model"))
    if not published:
        return
    taken = {name: [b for b in known["bands"] if b != ABSENT] for name, known in published.items()}
    weights, bands = features.entry["weights"], list(features.bands)
    if weights in published and bands != taken[weights]:
        raise features.error(
            "bands",
            f"{weights} of {features.entry['model']} was trained on {', '.join(taken[weights])}, in this order: found"
            f" {', '.join(bands)}",
        )
    fitting = [weights] if weights in published else [name for name in taken if taken[name] == bands]
    if features.entry["normalization"] != "native" or features.entry.get("protocol"):
        return
    if not fitting:
        choices = "; or ".join(dict.fromkeys(", ".join(value) for value in taken.values()))
        raise features.error(
            "bands",
            f"no published weights of {features.entry['model']} take {', '.join(bands)}, so there is no native"
            f" normalisation of them: take {choices}, in this order, or set normalization: zscore",
        )
    unit = published[fitting[0]].get("unit")
    if unit:
        raise features.error(
            "normalization",
            f"{fitting[0]} of {features.entry['model']} was trained on {unit}, which cannot be had exactly from"
            f" {features.archive[bands[0]].unit}: set normalization: zscore, or take other weights",
        )


def _check_cells(features: FeatureSet) -> None:
    """Refuses a size that is no multiple of the pieces that the model cuts an image into."""
    others = features.facts.get("others", {}).get(features.entry.get("model"), {})
    cell = others.get("cell", features.facts.get("cell"))
    if cell is None:
        return
    side = features.entry[cell] if isinstance(cell, str) else cell
    protocol = PROTOCOLS.get(features.entry.get("protocol") or "")
    size = features.entry.get("image_size") or others.get("size", SIZE)
    if protocol is not None:
        size = protocol.size_of(features.entry.get("model", ""))
    if size % side:
        raise features.error(
            "image_size",
            f"{features.model} cuts an image into pieces of {side} pixels, of which {size} is no multiple: set"
            f" image_size to {max(1, round(size / side)) * side}",
        )


def _check_known(features: FeatureSet, archive: str) -> None:
    """Refuses a model that must know of a patch what the archive does not say."""
    known = registry.kind("archives", archive).facts.get("knows", ())
    for need in features.facts.get("needs", ()):
        if need not in known:
            raise features.error(
                "",
                f"{features.model} must know the {need} of each patch, which an archive of kind {archive} does"
                " not say: take another model",
            )


def _check_files(features: FeatureSet) -> None:
    """Refuses a file that is not there, and weights that are neither known nor a file."""
    option = features.facts.get("file")
    if option and not Path(features.entry[option]).is_file():
        raise features.error(option, f"{features.entry[option]} does not exist")
    weights = features.entry.get("weights")
    if weights is None:
        return
    names = names_of_weights(features)
    if weights in names or re.fullmatch(r"random:\d{1,9}", weights) or Path(weights).is_file():
        return
    known = "".join(f"{member}, nor " for member in names)
    raise features.error("weights", f"{weights!r} is neither {known}random:<seed>, nor a file")


def names_of_weights(features: FeatureSet) -> list[str]:
    """The names of the published weights of a feature set's model."""
    model = features.entry.get("model")
    others = features.facts.get("others", {}).get(model, {}).get("weights", {})
    return [*features.facts.get("weights", ()), *features.facts.get("published", {}).get(model, {}), *others]
