"""The same with other random numbers: what is drawn at random is drawn several times."""

from collections.abc import Mapping
from typing import Any

from earthprobe.errors import UserError

RANDOM = "random:"
"""How weights begin that are drawn at random; their seed follows."""


def with_seed(entry: Mapping[str, Any], number: int) -> dict[str, Any]:
    """An entry of a configuration, with the seed that lies so many above its own.

    Args:
        entry: a feature set or probe.
        number: 0 for its own seed.
    """
    own = {key: value for key, value in entry.items() if key != "seeds"}
    if number and "seed" in own:
        own["seed"] += number
    elif number:
        own["weights"] = f"{RANDOM}{int(own['weights'].removeprefix(RANDOM)) + number}"
    return own


LAST = 2**32 - 1
"""The greatest seed that all generators take."""

ENSEMBLE = "_ensemble"
"""How the mean over the seeds of a probe is called, after the probe."""


def check_seeds(features: Mapping[str, Mapping[str, Any]], probes: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses several seeds of what draws nothing, and names that seeds need.

    Args:
        features: the feature sets by their names.
        probes: the probes by their names.

    Raises:
        UserError: an entry has no seed, its last one is too great, or a name is taken.
    """
    for room, entries in (("features", features), ("probes", probes)):
        for name, entry in entries.items():
            drawn = "seed" in entry or str(entry.get("weights", "")).startswith(RANDOM)
            if entry["seeds"] > 1 and not drawn:
                raise UserError(
                    f"config: {room}.{name}.seeds: nothing of a {entry['kind']} is drawn at random: leave it out"
                )
            if entry.get("seed", 0) + entry["seeds"] - 1 > LAST:
                raise UserError(f"config: {room}.{name}: the last of {entry['seeds']} seeds would be above {LAST}")
    for name in probes:
        if name.endswith(ENSEMBLE):
            single = name.removesuffix(ENSEMBLE)
            raise UserError(
                f"config: probes.{name}: so is the mean over seeds of {single or 'a probe'} called: rename it"
            )
    expand_seeds(features)


def expand_seeds(features: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """Every further seed as a feature set of its own.

    Args:
        features: the feature sets by their names.

    Returns:
        All feature sets by their names, and of each that was given the names of its seeds, itself first.

    Raises:
        UserError: two feature sets would have the same name.
    """
    found = {name: with_seed(entry, 0) for name, entry in features.items()}
    members = {}
    for name, entry in features.items():
        members[name] = [name]
        for number in range(1, entry["seeds"]):
            member = f"{name}_seed-{number}"
            if member in found:
                raise UserError(f"config: features.{name}.seeds: there is a feature set {member} already: rename it")
            found[member] = with_seed(entry, number)
            members[name].append(member)
    return found, members
