"""Which file of a patch holds which band: what ``patches.parquet`` says of the archive's bands."""

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any, NamedTuple

from earthprobe.sensors import KNOWN, Band


class BandFile(NamedTuple):
    """Where a band of each patch is.

    Attributes:
        band: what is known of it.
        path: below the archive's root, with columns of ``patches.parquet`` in braces.
        number: of the band within its file, from 1.
    """

    band: Band
    path: str
    number: int = 1


def stored(files: Mapping[str, BandFile]) -> dict[str, Any]:
    """The bands as the metadata of ``patches.parquet`` have them."""
    return {name: {**file.band._asdict(), "path": file.path, "number": file.number} for name, file in files.items()}


def band_files_of(metadata: Mapping[str, Any], sensor: str) -> dict[str, BandFile]:
    """The bands of a sensor, in the order in which shards have them: the sensor's own, then by file and number.

    Args:
        metadata: of ``patches.parquet``.
        sensor: the sensor.
    """
    found = {
        name: BandFile(Band(**{field: entry[field] for field in Band._fields}), entry["path"], entry["number"])
        for name, entry in metadata["bands"].items()
        if entry["sensor"] == sensor
    }
    known = {name: place for place, name in enumerate(KNOWN)}
    order = sorted(found, key=lambda name: (known.get(name, len(known)), found[name].path, found[name].number, name))
    return {name: found[name] for name in order}


OWN = "table_"
"""Before the name of a table's column that is kept as it is, where an index has a column of its own so called."""

TAKEN = {"patch_id", "split", "group", "date", "longitude", "latitude", "country", "shard", "folds", "geometry", "bbox"}
"""The columns that an index has itself, which may differ from those of the table that are called so."""


def in_table(path: str) -> str:
    """A path whose columns are the table's own, whatever the index makes of a column with such a name."""
    parts = []
    for text, name, _, _ in Formatter().parse(path):
        parts.append(text.replace("{", "{{").replace("}", "}}"))
        if name is not None:
            parts.append(f"{{{OWN if name in TAKEN else ''}{name}}}")
    return "".join(parts)


def columns_in(paths: Iterable[str]) -> list[str]:
    """The columns that paths have in braces.

    Raises:
        ValueError: a brace is not closed, or holds more than a name.
    """
    found: dict[str, None] = {}
    for path in paths:
        for _, name, form, conversion in Formatter().parse(path):
            if name is None:
                continue
            if not name.isidentifier() or form or conversion:
                raise ValueError(f"{{{name}}} is no column's name")
            found[name] = None
    return list(found)
