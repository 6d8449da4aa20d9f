"""Feature sets that differ in some of their options: one entry of a configuration, a feature set a combination."""

import itertools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from earthprobe.errors import UserError


class Ablation(NamedTuple):
    """What varies among feature sets.

    Attributes:
        options: the options that vary, in the order of the configuration.
        features: the feature sets by their names, each with the values that it has of them.
    """

    options: list[str]
    features: dict[str, dict[str, Any]]


def expand(features: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, dict[str, Any]], dict[str, Ablation]]:
    """Every combination of what varies as a feature set of its own.

    Args:
        features: the entries of a configuration.

    Returns:
        The feature sets by their names, without ``vary``, and an :class:`Ablation` for each entry in which something
        varies.

    Raises:
        UserError: two feature sets would have the same name.
    """
    found: dict[str, dict[str, Any]] = {}
    ablations: dict[str, Ablation] = {}
    for name, entry in features.items():
        plain = {key: value for key, value in entry.items() if key != "vary"}
        vary: Mapping[str, list[Any]] = entry.get("vary") or {}
        members = {}
        for values in itertools.product(*vary.values()):
            chosen = dict(zip(vary, values, strict=True))
            member = "_".join([name, *(f"{option}-{_text(value)}" for option, value in chosen.items())])
            if member in found:
                raise UserError(f"config: features.{name}.vary: two of its feature sets would be called {member}")
            found[member] = plain | chosen
            members[member] = chosen
        if vary:
            ablations[name] = Ablation(list(vary), members)
    return found, ablations


def _text(value: Any) -> str:
    """A value as a part of a name: 3p75-3p75 for [3.75, 3.75], the file's name for a path."""
    if isinstance(value, list):
        return "-".join(map(_text, value))
    text = str(value).rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=\d)\.(?=\d)", "p", text)).strip("-") or "x"
