"""What every kind of archive is to the steps.

A kind's module, ``<kind>.py``, has

- ``DEPTH``, how many folders below the archive's own a patch of Sentinel-1 lies;
- ``entries(lists)``, which yields an :class:`Entry` for each line of the archive's lists of patches;
- ``folder_of(sensor, patch_id, s2_id)``, where a patch's files of a sensor should lie.

Labels are a module of their own, ``<kind>_labels.py``, since a change of labels must embed nothing again. It has

- ``LABEL_SETS``, a :class:`LabelSet` a label set, by its name;
- ``labels(sources, patches)``, the :data:`Labels` of each patch, or why they cannot be read;

or, where the configuration says what the classes are, ``labelled(patches, archive)``, which returns :class:`Labelled`.

The YAML file has ``folders`` and ``tars`` (the names under which each sensor's files are published), ``paths``
(where the file of a ``{band}`` lies below its folder, by columns of ``patches.parquet``), ``lists``
(the files that say which patch is of which split, each by all of its names), ``extra_lists`` (those that an option asks
for), ``labels_from`` (``patches``: each has a file of its own, or ``lists``), ``label_sets`` (their names), ``knows``
(what else it says of a patch: ``date``, ``place``), ``licence`` and ``published`` (``files``: where they are and their
MD5; ``patches``, ``in_no_split``, ``statistics`` and ``label_counts``, which `check` compares). An archive in another's
format names that in ``read_as``, and has no modules for reading.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

SPLITS = ("train", "val", "test")

SENSORS = {"s1": "Sentinel-1", "s2": "Sentinel-2"}
"""What sensors are called."""


def absent(sensor: str) -> str:
    """Why a patch is left out of which the archive has no file of a sensor, as of Sentinel-2 where it has the first."""
    return f"has no {SENSORS.get(sensor, sensor)} patch in the archive"


NO_S2 = absent("s2")


class Entry(NamedTuple):
    """What an archive's lists say of a patch."""

    patch_id: str
    s2_id: str
    split: str
    country: str | None
    date: datetime.date | None = None


class LabelSet(NamedTuple):
    """Classes that a patch can have.

    Attributes:
        name: what a configuration and file names call it.
        classes: their names, in the order of their indices.
        task: whether a patch has any number of them (``multilabel``) or one (``single``).
    """

    name: str
    classes: Sequence[str]
    task: Literal["multilabel", "single"] = "multilabel"

    def indices(self, names: Iterable[str]) -> list[int]:
        """Sorted indices of class names.

        Raises:
            ValueError: a name is not one of the classes.
        """
        found = set()
        for name in names:
            try:
                found.add(self.classes.index(name))
            except ValueError:
                raise ValueError(f"unknown class {name!r}") from None
        return sorted(found)


class Labels(dict[str, list[int]]):
    """Of a patch, the sorted indices of its classes in each label set of the archive.

    Attributes:
        relative_orbit: the track of Sentinel-1 that saw it, from 1 to 175, where the file of its labels says so.
    """

    __slots__ = ("relative_orbit",)

    def __init__(self, sets: Mapping[str, list[int]], relative_orbit: int | None = None) -> None:
        super().__init__(sets)
        self.relative_orbit = relative_orbit


class Labelled(NamedTuple):
    """The labels of patches.

    Attributes:
        sets: the label sets by their names.
        results: of each patch, or why they cannot be read.
        left_out: of each label set the classes that too few patches have, with how many these are.
    """

    sets: Mapping[str, LabelSet]
    results: Sequence[Labels | str]
    left_out: Mapping[str, Mapping[str, int]]
