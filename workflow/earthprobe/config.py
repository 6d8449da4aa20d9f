"""Checks a configuration against the schema, fills in defaults, and finds what it names on the disk.

The Snakefile calls :func:`resolve` every time it is parsed, so nothing heavy is imported here.
"""

import difflib
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from earthprobe.bands import BANDS
from earthprobe.errors import UserError
from earthprobe.layout import FOLDERS, METADATA, PUBLISHED_WEIGHTS, SNOW_AND_CLOUDS, SPLITS, TARS, tar_name

WEIGHTS_ENUM = {"dofa_base_patch16_224": PUBLISHED_WEIGHTS, "dofa_large_patch16_224": PUBLISHED_WEIGHTS}

Schema = dict[str, Any]


def resolve(config: Mapping[str, Any], schema_file: Path) -> dict[str, Any]:
    """Returns the configuration with every default filled in.

    Args:
        config: the parsed YAML.
        schema_file: the JSON schema, as YAML.

    Raises:
        UserError: a key is unknown, missing or has a wrong value, or a path that it names does not exist.
    """
    schema = yaml.safe_load(schema_file.read_text(encoding="utf-8"))
    resolved: dict[str, Any] = _complete(config, schema, schema["$defs"], ())
    resolved["features"] = {name: _with_wavelengths(features) for name, features in resolved["features"].items()}
    _check_archive(resolved["archive"], resolved["features"])
    if resolved["archive"]["kind"] == "reben":
        if "label_sets" not in config:
            resolved["label_sets"] = [19]
        if 43 in resolved["label_sets"]:
            raise UserError("config: label_sets: reBEN has labels of 19 classes only: take 43 out")
    for name, feature_set in resolved["features"].items():
        _check_feature_set(name, feature_set)
    return resolved


def _complete(value: Any, schema: Schema, defs: Schema, path: tuple[str, ...]) -> Any:
    """Checks ``value`` level by level, so that the message names the key, and adds defaults on the way."""
    schema = _branch(value, _dereference(schema, defs), defs, path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"config: {'.'.join(path)}: {value} is no number to work with")
        if value.is_integer() and "integer" in schema.get("type", ()):
            value = int(value)
    if isinstance(value, list):
        value = [_complete(item, schema.get("items", {}), defs, path) for item in value]
    _check_level(value, schema, defs, path)
    if isinstance(value, Mapping):
        known = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        complete = {key: _complete(item, known.get(key, extra), defs, (*path, str(key))) for key, item in value.items()}
        # In the schema's order, so that the same configuration always gives the same text.
        for key, part in known.items():
            described = _dereference(part, defs)
            if key not in complete and "default" in described:
                complete[key] = described["default"]
        return {key: complete[key] for key in [*known, *(k for k in complete if k not in known)] if key in complete}
    return value


def _dereference(schema: Schema, defs: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    target = defs[schema["$ref"].removeprefix("#/$defs/")]
    return {**target, **{key: part for key, part in schema.items() if key != "$ref"}}


def _branch(value: Any, schema: Schema, defs: Schema, path: tuple[str, ...]) -> Schema:
    """The alternative of a ``oneOf`` that ``kind`` names: a message about all of them would help nobody."""
    if "oneOf" not in schema:
        return schema
    branches = {
        branch["properties"]["kind"]["const"]: branch
        for branch in (_dereference(part, defs) for part in schema["oneOf"])
    }
    where = ".".join(path)
    if not isinstance(value, Mapping) or "kind" not in value:
        raise UserError(f"config: {where} lacks `kind`: one of {', '.join(branches)}")
    if not isinstance(value["kind"], str) or value["kind"] not in branches:
        raise UserError(f"config: {where}.kind: {value['kind']!r} is unknown: one of {', '.join(branches)}")
    return branches[value["kind"]]


def _check_level(value: Any, schema: Schema, defs: Schema, path: tuple[str, ...]) -> None:
    where = ".".join(path) or "top level"
    known = schema.get("properties", {})
    if isinstance(value, Mapping) and schema.get("additionalProperties") is False:
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"known keys are {', '.join(known)}"
                raise UserError(f"config: {where}: unknown key `{key}`: {hint}")
    # Deeper levels are checked when they are reached, by their own branch of the schema.
    if isinstance(value, Mapping):
        shallow = {key: part for key, part in schema.items() if key not in ("properties", "additionalProperties")}
    else:
        shallow = schema
    error = best_match(Draft202012Validator({**shallow, "$defs": defs}).iter_errors(value))
    if error is not None:
        raise UserError(f"config: {where}: {_explain(error)}")


def _explain(error: ValidationError) -> str:
    rule: Any = error.validator_value
    match error.validator:
        case "required":
            return f"{error.message}: add it"
        case "enum":
            return f"{error.instance!r} is unknown: one of {', '.join(map(str, rule))}"
        case "pattern":
            return f"{error.instance!r} is no name: use lower-case letters, digits, _ and -"
        case "minProperties":
            return "is empty: give at least one entry"
        case _:
            return str(error.message)


def sensors_of(features: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Which feature sets see which sensor: sensor -> their names, ``s1`` first; without those that none sees."""
    sensors: dict[str, list[str]] = {"s1": [], "s2": []}
    for name, feature_set in features.items():
        for sensor in {BANDS[band].sensor for band in feature_set["bands"]}:
            sensors[sensor].append(name)
    return {sensor: names for sensor, names in sensors.items() if names}


def _check_archive(archive: Mapping[str, Any], features: Mapping[str, Mapping[str, Any]]) -> None:
    optical = sensors_of(features).get("s2")
    if archive["kind"] == "simulated":
        if optical:
            raise UserError(
                f"config: features.{optical[0]}.bands: a simulated archive has Sentinel-1 only: take VV and VH"
            )
        return
    patch_files(archive, "s1")
    if optical:
        patch_files(archive, "s2")
    if archive["kind"] == "reben":
        tables(archive)
    else:
        for split in SPLITS:
            split_file(archive, split)


def patch_files(archive: Mapping[str, Any], sensor: str) -> Path | list[list[Path]]:
    """Where a sensor's patches are: in a folder, or in tar archives, each with its parts in their order.

    Args:
        archive: ``archive`` of the configuration.
        sensor: ``s1`` or ``s2``.

    Raises:
        UserError: they are nowhere.
    """
    kind = archive["kind"]
    top, published = FOLDERS[sensor][kind], TARS[sensor][kind]
    roots = _roots(archive)
    if archive["fetch"]:
        if not roots[0].is_dir() or not ((roots[0] / top).is_dir() or _tars(roots[0], kind, sensor)):
            return [[roots[0] / published]]
    elif not roots[0].is_dir():
        for path in roots:
            if not path.is_file():
                raise UserError(f"config: archive.root: {path} does not exist")
            if tar_name(path) is None:
                raise UserError(f"config: archive.root: {path} is neither a folder nor a .tar, .tar.gz or .tar.zst")
        optical = [path for path in roots if _is_tar_of(path, kind, "s2")]
        chosen = optical if sensor == "s2" else [path for path in roots if path not in optical]
        if not chosen:
            raise UserError(
                f"config: archive.root: no tar archive of {top} among {', '.join(map(str, roots))}: add it, under"
                f" the name {published.partition('.tar')[0]}.tar, .tar.gz or .tar.zst"
            )
        return _archives(chosen)
    (root,) = roots
    if (root / top).is_dir():
        return root / top
    if found := _archives(_tars(root, kind, sensor)):
        if len(found) > 1:
            names = ", ".join(files[0].name for files in found)
            raise UserError(f"config: archive.root: {root} holds {names}: rename all but the one to read")
        return found
    for other_kind, other in FOLDERS[sensor].items():
        if other_kind in ("simulated", kind):
            continue
        if (root / other).is_dir() or _tars(root, other_kind, sensor):
            raise UserError(f"config: archive.root: {root} holds {other}, which is {other_kind}, and no {top}")
    stem = published.partition(".tar")[0]
    raise UserError(f"config: archive.root: {root} holds neither the folder {top} nor {stem}.tar, .tar.gz or .tar.zst")


def _roots(archive: Mapping[str, Any]) -> list[Path]:
    root = archive["root"]
    roots = [Path(path) for path in ([root] if isinstance(root, str) else root)]
    if archive["fetch"]:
        if not isinstance(root, str) or roots[0].is_file():
            raise UserError("config: archive.root: give the folder to fetch into")
    elif not roots[0].exists():
        top = FOLDERS["s1"][archive["kind"]]
        raise UserError(f"config: archive.root: {roots[0]} does not exist: give the folder of {top}, or its tar file")
    if len(roots) > 1 and any(path.is_dir() for path in roots):
        raise UserError("config: archive.root: give one folder, or tar archives, but not both")
    return roots


def _tars(root: Path, kind: str, sensor: str) -> list[Path]:
    return [path for path in root.iterdir() if _is_tar_of(path, kind, sensor)]


def _is_tar_of(path: Path, kind: str, sensor: str) -> bool:
    """Whether a file is a tar archive, or a part of one, with the published name or the name of its top folder."""
    stems = (TARS[sensor][kind].partition(".tar")[0], FOLDERS[sensor][kind])
    return (tar_name(path) or "").startswith(tuple(f"{stem}." for stem in stems))


def _archives(files: Iterable[Path]) -> list[list[Path]]:
    """Tar archives by their names, each with its parts in their order, or without those if it is there whole."""
    archives: dict[tuple[Path, str], list[Path]] = {}
    for file in sorted(files, key=lambda file: (file.parent, len(file.name), file.name)):
        archives.setdefault((file.parent, str(tar_name(file))), []).append(file)
    whole = {key: [folder / name] for key in archives for folder, name in [key] if folder / name in archives[key]}
    return list((archives | whole).values())


def split_file(archive: Mapping[str, Any], split: str) -> Path:
    """The file that lists the patches of ``split`` of BigEarthNet v1, by torchgeo's name or by the published one.

    Raises:
        UserError: there is neither.
    """
    return _beside(archive, f"bigearthnet-{split}.csv", f"{split}.csv", what="the split file")


def tables(archive: Mapping[str, Any]) -> list[Path]:
    """The tables of labels and splits of reBEN; that of patches with snow, clouds or shadow where it is asked for.

    Raises:
        UserError: one is missing.
    """
    names = [METADATA, SNOW_AND_CLOUDS] if archive["snow_and_clouds"] else [METADATA]
    return [_beside(archive, name, what="the table") for name in names]


def _beside(archive: Mapping[str, Any], *names: str, what: str) -> Path:
    folders = list(dict.fromkeys(root.parent if root.is_file() else root for root in _roots(archive)))
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    if archive["fetch"]:
        return folders[0] / names[0]
    raise UserError(f"config: archive.root: {folders[0]} lacks {what} {' or '.join(names)}: put it there")


def _with_wavelengths(feature_set: Mapping[str, Any]) -> dict[str, Any]:
    """The feature set with the wavelengths of its bands, where it names none."""
    own = [BANDS[band].wavelength for band in feature_set["bands"]]
    return {**feature_set, "wavelengths": own if feature_set["wavelengths"] is None else feature_set["wavelengths"]}


def _check_feature_set(name: str, feature_set: Mapping[str, Any]) -> None:
    bands, wavelengths = feature_set["bands"], feature_set["wavelengths"]
    if len(bands) != len(wavelengths):
        raise UserError(
            f"config: features.{name}.wavelengths: {len(wavelengths)} given for {len(bands)} bands"
            f" ({', '.join(bands)}): give one a band, in their order"
        )
    weights = feature_set["weights"]
    members = WEIGHTS_ENUM[feature_set["model"]]
    if weights in members or re.fullmatch(r"random:\d{1,9}", weights):
        return
    if not Path(weights).is_file():
        raise UserError(
            f"config: features.{name}.weights: {weights!r} is neither {' nor '.join(members)}, nor"
            " random:<seed>, nor a file"
        )


def check_writable(folder: Path) -> None:
    """Sees before the first job whether results can be written.

    Raises:
        UserError: the folder, or the one that it would be made in, cannot be written.
    """
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder} cannot be written: is it yours, and its disk not read-only?")
