"""The labels of anybody's archive: a column of its table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from earthprobe.archives.interface import Labelled, Labels, LabelSet
from earthprobe.archives.read_table import read_any
from earthprobe.errors import UserError

NAME = "labels"
"""What the label set of a table is called."""


MOST = 256
"""Classes that a label set can have: an index has a byte for each."""


def names_of(archive: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of the classes of each row of a table, by its id.

    Raises:
        UserError: the table cannot be read.
    """
    path, columns = Path(archive["table"]), archive["columns"]
    table = read_any(path)
    ids, labels = table[columns["id"]].cast(pl.String).to_list(), table[columns["labels"]]
    lists = labels.to_list() if labels.dtype.is_nested() else [_split(value) for value in labels.to_list()]
    # A class may be called 0.
    found = [[str(name).strip() for name in names or () if name is not None] for names in lists]
    return {
        patch_id: list(dict.fromkeys(name for name in names if name))
        for patch_id, names in zip(ids, found, strict=True)
    }


def _split(value: object) -> list[str]:
    return [] if value is None else str(value).split("|")


def label_set(archive: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> tuple[LabelSet, dict[str, int]]:
    """The classes, and those that too few patches have, with how many these are.

    Args:
        archive: ``archive`` of the configuration, with all defaults.
        names: the names of the classes of each patch that is in a split.

    Raises:
        UserError: less than two classes are left.
    """
    counts = Counter(name for classes in names.values() for name in classes)
    order = archive["classes"]
    if order == "sorted":
        classes = sorted(counts)
    elif order == "table":
        classes = list(counts)
    elif isinstance(order, str):
        raise UserError(f"config: archive.classes: {order!r} is neither sorted, nor table, nor a list of names")
    else:
        classes = list(order)
        if unknown := sorted(set(counts) - set(classes)):
            raise UserError(f"config: archive.classes: {archive['table']} has {unknown[0]!r}, which is not listed")
    few = {name: counts[name] for name in classes if counts[name] < archive["min_positives"]}
    left = [name for name in classes if name not in few]
    if len(left) > MOST:
        raise UserError(f"{archive['table']}: {len(left)} classes are more than {MOST}: raise archive.min_positives")
    if len(left) < 2:
        raise UserError(
            f"{archive['table']}: {len(left)} classes have at least {archive['min_positives']} patches, of"
            f" {len(classes)}: lower archive.min_positives"
        )
    return LabelSet(NAME, left, archive["task"]), few


def labelled(patches: pl.DataFrame, archive: Mapping[str, Any]) -> Labelled:
    """The labels of each patch, or what is wrong with them.

    Args:
        patches: ``patches.parquet``.
        archive: ``archive`` of the configuration, with all defaults.
    """
    names = names_of(archive)
    known, few = label_set(archive, {patch_id: names.get(patch_id, []) for patch_id in patches["patch_id"]})
    results: list[Labels | str] = []
    for patch_id in patches["patch_id"]:
        classes = names.get(patch_id, [])
        kept = [name for name in classes if name not in few]
        if not classes:
            results.append("no label in the table")
        elif known.task == "single" and len(classes) > 1:
            results.append(f"has {len(classes)} labels, and task: single takes one: {', '.join(classes)}")
        elif known.task == "single" and not kept:
            results.append(f"its class {classes[0]} has fewer patches than min_positives")
        else:
            results.append(Labels({NAME: known.indices(kept)}))
    return Labelled({NAME: known}, results, {NAME: few} if few else {})
