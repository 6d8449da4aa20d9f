"""Sees before any job whether an archive of kind table can be: its files, the columns in its paths, and its split.

The Snakefile asks every time it is parsed, so of the table only the first line of a CSV file is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earthprobe.archives.bands import band_files
from earthprobe.archives.read_table import columns_of
from earthprobe.errors import UserError
from earthprobe.storage.band_files import OWN, TAKEN, columns_in
from earthprobe.storage.tar_names import tar_name

NEEDED = {"table": ["split"], "group": ["group"]}
"""The columns that a way to split asks for."""


def check_table(archive: Mapping[str, Any]) -> None:
    """Refuses an archive whose files, columns or split cannot be.

    Args:
        archive: ``archive`` of the configuration, with all defaults.

    Raises:
        UserError: they cannot be.
    """
    table = Path(archive["table"])
    if not table.is_file():
        raise UserError(f"config: archive.table: {table} does not exist{_place(table)}")
    if table.suffix not in (".csv", ".tsv", ".parquet"):
        raise UserError(f"config: archive.table: {table} is neither a .csv nor a .parquet file")
    table_files(archive)
    if archive["fit"] != "none" and archive["size"] is None:
        raise UserError(f"config: archive.size: fit: {archive['fit']} needs it: give the pixels along a side")
    split = archive["split"]
    if split["by"] == "hold_out" and not split["test"]:
        raise UserError("config: archive.split.test: hold_out needs the values to test on")
    if abs(sum(split["shares"]) - 1) > 1e-6:
        raise UserError(f"config: archive.split.shares: they add up to {sum(split['shares']):g}, not to 1")
    if table.suffix != ".parquet":
        check_columns(archive, columns_of(table))


def check_columns(archive: Mapping[str, Any], found: list[str]) -> None:
    """Refuses a configuration that names columns which the table lacks.

    Args:
        archive: ``archive`` of the configuration, with all defaults.
        found: the columns of the table.

    Raises:
        UserError: one is not there, or has a name that is given to another.
    """
    columns, split = archive["columns"], archive["split"]
    for name in found:
        if name in TAKEN and f"{OWN}{name}" in found:
            raise UserError(f"{archive['table']} has the columns {name} and {OWN}{name}: rename the second")
    where = f"{archive['table']} has the columns {', '.join(found)}"
    for key, column in columns.items():
        # One that goes by its own name may be missing; another was named on purpose.
        if column not in found and (key in ("id", "labels") or column not in (key, None)):
            raise UserError(f"config: archive.columns.{key}: there is no column {column}: {where}")
    for name, file in band_files(archive).items():
        for column in columns_in([file.path]):
            if column != "id" and column not in found:
                raise UserError(f"config: archive.bands.{name}: there is no column {column}: {where}")
    wanted = [columns[key] for key in NEEDED.get(split["by"], [])]
    wanted += [split["column"]] if split["by"] == "hold_out" else []
    for column in wanted:
        if column not in found and column != "country":  # which the place says
            raise UserError(f"config: archive.split.by: {split['by']} needs the column {column}: {where}")


def table_files(archive: Mapping[str, Any]) -> Path | list[list[Path]]:
    """The folder that the paths of bands start from, or tar archives.

    Raises:
        UserError: they are nowhere.
    """
    root = archive["root"] or str(Path(archive["table"]).parent)
    paths = [Path(path) for path in ([root] if isinstance(root, str) else root)]
    for path in paths:
        if not path.exists():
            raise UserError(f"config: archive.root: {path} does not exist{_place(path)}")
        if {"{", "}"} & set(str(path)):
            raise UserError(f"config: archive.root: {path}: Snakemake takes {{ and }} for wildcards: rename it")
    if len(paths) == 1 and paths[0].is_dir():
        return paths[0]
    for path in paths:
        if path.is_dir():
            raise UserError("config: archive.root: give one folder, or tar archives, but not both")
        if tar_name(path) is None:
            raise UserError(f"config: archive.root: {path} is neither a folder nor a .tar, .tar.gz or .tar.zst")
    return [[path] for path in paths]


def _place(path: Path) -> str:
    """Where a relative path was looked for."""
    return "" if path.is_absolute() else f": looked for {path.absolute()}"
