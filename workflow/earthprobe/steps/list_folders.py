"""Write the table of an archive that has a folder a class, such as EuroSAT."""

import logging
from collections.abc import Sequence
from pathlib import Path

from earthprobe.errors import UserError
from earthprobe.storage.files import is_text, write_csv

log = logging.getLogger(__name__)

ENDINGS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy")


def run(
    *,
    root: Path,
    train: Sequence[Path] = (),
    val: Sequence[Path] = (),
    test: Sequence[Path] = (),
    output: Path,
) -> None:
    """Lists the pictures in the folders of classes, with their splits where lists of names are given.

    Args:
        root: the folder of the classes.
        train: files with a name of a picture a line, whatever it ends in, as torchgeo has them of EuroSAT.
        val: the same.
        test: the same.
        output: CSV: ``id``, ``labels``, ``split`` where there are lists, and ``path`` below ``root``.

    Raises:
        UserError: there is no picture, two have one name, or a list names one that is not there.
    """
    found: dict[str, tuple[str, str]] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in ENDINGS:
                continue
            if not is_text(f"{folder.name}/{path.name}"):
                raise UserError(f"{root}: the name {f'{folder.name}/{path.name}'!a} is not UTF-8: rename it")
            if path.stem in found:
                raise UserError(f"{root}: {folder.name} and {found[path.stem][0]} both have a picture {path.stem}")
            found[path.stem] = (folder.name, f"{folder.name}/{path.name}")
    if not found:
        raise UserError(f"{root} has no folders with files that end in {', '.join(ENDINGS)}")
    splits: dict[str, str] = {}
    for split, lists in (("train", train), ("val", val), ("test", test)):
        for path in lists:
            for name in _names_in(path):
                stem = Path(name).stem
                if stem not in found:
                    raise UserError(f"{path} names {name}, which no folder of {root} has")
                if splits.setdefault(stem, split) != split:
                    raise UserError(f"{path} names {name}, which is of {splits[stem]}, too")
    log.info("%d pictures, %d of them in a split", len(found), len(splits))
    columns = ("id", "labels", *(["split"] if splits else []), "path")
    rows = [
        (name, label, *([splits.get(name, "")] if splits else []), path)
        for name, (label, path) in sorted(found.items())
    ]
    write_csv(output, columns, rows)


def _names_in(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8") from error
