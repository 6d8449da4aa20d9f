"""Checks a configuration against the schema, fills in defaults, and finds what it names on the disk.

The Snakefile calls :func:`resolve` every time it is parsed, so nothing heavy is imported here.
"""

import difflib
import functools
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from earthprobe import registry
from earthprobe.ablations import Ablation, expand
from earthprobe.archives import find
from earthprobe.archives.bands import bands_of_archive
from earthprobe.archives.check_table import check_table
from earthprobe.errors import UserError
from earthprobe.feature_sets import check_bands, check_feature_set
from earthprobe.names import check_names
from earthprobe.seeds import check_seeds
from earthprobe.sensors import Band

DEFAULT_MODEL = "dofa"
"""The kind of a feature set that names none, as in version 0.1."""

BASE = Path(__file__).with_name("config.yaml")

NAME = "^[a-z0-9][a-z0-9_-]*$"
"""The form of names that become file names, as the schema has it."""

Schema = dict[str, Any]


@functools.cache
def schema() -> Schema:
    """The JSON schema of a configuration: the keys that belong to no kind, and those of every kind."""
    whole: Schema = yaml.safe_load(BASE.read_text(encoding="utf-8"))
    keys = whole["properties"]
    keys["archive"] |= _one_of("archives")
    keys["features"]["additionalProperties"] = _one_of("models") | {"default_kind": DEFAULT_MODEL}
    keys["probes"]["additionalProperties"] = _one_of("probes")
    return whole


def _one_of(room: str) -> Schema:
    """The schemas of a room's kinds, of which an entry's ``kind`` names one."""
    return {"oneOf": [registry.kind(room, name).schema for name in registry.names(room)], "room": room}


def resolve(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration with every default filled in.

    Args:
        config: the parsed YAML.

    Raises:
        UserError: a key is unknown, missing or has a wrong value, or a path that it names does not exist.
    """
    resolved: dict[str, Any] = _complete(config, schema(), schema()["$defs"], ())
    features, _ = feature_sets(resolved)
    archive = resolved["archive"]
    bands = bands_of_archive(archive)
    check_bands(archive, bands, features)
    sensors = sensors_of(features, bands)
    _check_archive(archive, sensors)
    _check_buffers(resolved)
    _check_figures(resolved)
    check_names(features)
    resolved["label_sets"] = _label_sets(archive["kind"], resolved["label_sets"])
    if not sensors and bands:
        raise UserError("config: features: none of them sees pixels: add one that does, such as {kind: statistics}")
    check_seeds(features, resolved["probes"])
    for name, feature_set in features.items():
        check_feature_set(name, feature_set, archive["kind"], bands)
    return resolved


def feature_sets(resolved: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Ablation]]:
    """The feature sets of a configuration, every combination of what varies as one of its own.

    Args:
        resolved: the configuration with all defaults.

    Returns:
        The feature sets by their names, and the ablations by the names of their entries.

    Raises:
        UserError: a value that an option varies over is none of its values.
    """
    whole = schema()
    expanded, ablations = expand(resolved["features"])
    form = whole["properties"]["features"]["additionalProperties"]
    return {
        name: _complete(entry, form, whole["$defs"], ("features", name)) for name, entry in expanded.items()
    }, ablations


def _complete(value: Any, schema: Schema, defs: Schema, path: tuple[str, ...]) -> Any:
    """Checks ``value`` level by level, so that the message names the key, and adds defaults on the way."""
    schema = _branch(value, _dereference(schema, defs), defs, path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"config: {'.'.join(path)}: {value} is not a finite number")
        if value.is_integer() and "integer" in schema.get("type", ()):
            value = int(value)
    if isinstance(value, list):
        value = [_complete(item, schema.get("items", {}), defs, path) for item in value]
    _check_level(value, schema, defs, path)
    if isinstance(value, Mapping):
        known = schema.get("properties", {})
        extra = schema.get("additionalProperties") or {}
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
    room, where = schema["room"], ".".join(path)
    if not isinstance(value, Mapping) or ("kind" not in value and "default_kind" not in schema):
        raise UserError(f"config: {where} lacks `kind`: one of {', '.join(registry.names(room))}")
    kind = value.get("kind", schema.get("default_kind"))
    if not isinstance(kind, str):
        raise UserError(f"config: {where}.kind: {kind!r} is unknown: one of {', '.join(registry.names(room))}")
    try:
        return registry.kind(room, kind).schema
    except UserError as error:
        raise UserError(f"config: {where}.kind: {error}") from error


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
        case "pattern" if rule == NAME:
            return f"{error.instance!r} is not a valid name: use lower-case letters, digits, _ and -"
        case "pattern":
            return f"{error.instance!r} does not have the form {rule}"
        case "minProperties":
            return "is empty: give at least one entry"
        case _:
            return str(error.message)


def label_sets(kind: str) -> list[str]:
    """The names of the label sets that a kind of archive has."""
    found: list[str] = registry.kind("archives", kind).facts["label_sets"]
    return found


def _label_sets(kind: str, asked: list[str | int] | None) -> list[str]:
    """The label sets to work with, as names: those of BigEarthNet may be written as numbers."""
    known = label_sets(kind)
    names = known if asked is None else [str(name) for name in asked]
    for name in names:
        if name not in known:
            raise UserError(f"config: label_sets: {name} is unknown: an archive of kind {kind} has {', '.join(known)}")
    return names


def controls_of(resolved: Mapping[str, Any]) -> list[str]:
    """The controls of a configuration, in a table's order.

    Args:
        resolved: the configuration with all defaults.
    """
    asked = resolved["controls"]
    if asked == "none":
        return []
    known: list[str] = schema()["properties"]["controls"]["anyOf"][1]["items"]["enum"]
    # Of one class a patch "every class" is no prediction.
    single = resolved["archive"].get("task") == "single"
    return [name for name in known if (asked == "default" or name in asked) and not (single and name == "all_positive")]


def sensors_of(features: Mapping[str, Mapping[str, Any]], bands: Mapping[str, Band]) -> dict[str, list[str]]:
    """Which feature sets see which sensor: sensor -> their names, ``s1`` first; without those that none sees.

    Args:
        features: the feature sets by their names.
        bands: the archive's.
    """
    sensors: dict[str, list[str]] = {"s1": [], "s2": []}
    for name, feature_set in features.items():
        for sensor in dict.fromkeys(bands[band].sensor for band in feature_set.get("bands", ())):
            sensors.setdefault(sensor, []).append(name)
    return {sensor: names for sensor, names in sensors.items() if names}


def _check_buffers(resolved: Mapping[str, Any]) -> None:
    """Refuses strips around test where every patch is tested."""
    split = resolved["archive"].get("split")
    folds = isinstance(split, Mapping) and split["by"] == "folds"
    for key in ("buffer", "buffers"):
        if folds and resolved[key]:
            raise UserError(f"config: {key}: with folds every patch is tested: take archive.split.by: place")


def _check_figures(resolved: Mapping[str, Any]) -> None:
    """Refuses figures of probes that there are not."""
    for name in resolved["figures"]["probes"] or ():
        if name not in resolved["probes"]:
            raise UserError(f"config: figures.probes: {name} is unknown: one of {', '.join(resolved['probes'])}")


def _check_archive(archive: Mapping[str, Any], sensors: Mapping[str, list[str]]) -> None:
    facts = registry.kind("archives", archive["kind"]).facts
    if facts.get("simulated"):
        return
    if archive["kind"] == "table":
        check_table(archive)
        return
    for sensor in ("s1", *sensors):
        find.patch_files(archive, sensor)
    find.lists(archive)


def check_writable(folder: Path) -> None:
    """Sees before the first job whether results can be written.

    Raises:
        UserError: the folder, or the one that it would be made in, cannot be written.
    """
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder} cannot be written: check its owner, and that its disk is not read-only")


def entry_of(room: str, text: str, option: str) -> dict[str, Any]:
    """An entry of a configuration that stands on a command line as JSON, every default filled in.

    Args:
        room: ``models`` or ``probes``.
        text: the JSON.
        option: what an error calls it.

    Raises:
        UserError: it is no JSON, or no such entry.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{option}: {text} is not valid JSON: {error}") from error
    place = {"models": "features", "probes": "probes"}[room]
    whole = schema()
    try:
        entry: dict[str, Any] = _complete(
            value, whole["properties"][place]["additionalProperties"], whole["$defs"], (option,)
        )
    except UserError as error:
        raise UserError(str(error).removeprefix("config: ")) from error
    return entry
