"""The two label sets of BigEarthNet, by torchgeo's own constants."""

from collections.abc import Iterable, Mapping

from torchgeo.datasets import BigEarthNet

CLASSES_43: list[str] = list(BigEarthNet.class_sets[43])
CLASSES_19: list[str] = list(BigEarthNet.class_sets[19])
FROM_43_TO_19: dict[int, int] = dict(BigEarthNet.label_converter)
INDEX_43: dict[str, int] = {name: index for index, name in enumerate(CLASSES_43)}
INDEX_19: dict[str, int] = {name: index for index, name in enumerate(CLASSES_19)}


def indices_of(names: Iterable[str], index: Mapping[str, int]) -> list[int]:
    """Sorted indices of class names.

    Args:
        names: the names.
        index: :data:`INDEX_43` or :data:`INDEX_19`.

    Raises:
        ValueError: a name is not one of the classes.
    """
    names = list(names)
    unknown = [name for name in names if name not in index]
    if unknown:
        raise ValueError(f"unknown class {unknown[0]!r}")
    return sorted({index[name] for name in names})


def indices_19(labels_43: Iterable[int]) -> list[int]:
    """Sorted 19-class indices of 43-class ones; eleven of the 43 classes have no counterpart and are dropped."""
    return sorted({FROM_43_TO_19[label] for label in labels_43 if label in FROM_43_TO_19})
