"""Which patches train, which choose and which test: pure functions of a table of patches."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from earthprobe.errors import UserError

PIECES = 20
"""Into how many pieces patches are divided that are then dealt to train, val and test: shares are met to 5 %."""

KM_A_DEGREE = 111.195
"""Of latitude, on a sphere with the mean radius of the Earth (6,371 km)."""

Numbers = npt.NDArray[np.int64]


def split(table: pl.DataFrame, how: Mapping[str, Any], kinds: Sequence[str]) -> list[str | None]:
    """The split of each patch; None of one in no split.

    Args:
        table: ``split``, ``group``, ``longitude``, ``latitude`` and whatever column `hold_out` names.
        how: ``archive.split`` of the configuration.
        kinds: of each patch, by what it is to be dealt alike: the rarest of its classes.

    Raises:
        UserError: it cannot be split so.
    """
    match how["by"]:
        case "table":
            found: list[str | None] = table["split"].to_list()
            return found
        case "random":
            return _dealt(kinds, None, how)
        case "group":
            return _dealt(kinds, _groups(table), how)
        case "place":
            return _dealt(kinds, squares(table, how["km"]), how)
        case "hold_out":
            return _held_out(table, how, kinds)
    return ["train"] * table.height


def folds(table: pl.DataFrame, how: Mapping[str, Any], kinds: Sequence[str]) -> Numbers:
    """In which fold each patch is tested, repeat by repeat; no group is in two folds of a repeat.

    Args:
        table: ``group``, where there are any.
        how: ``archive.split`` of the configuration.
        kinds: of each patch, by what it is to be dealt alike.

    Returns:
        Shape (patches, repeats).

    Raises:
        UserError: there are fewer groups than folds.
    """
    groups = None if table["group"].null_count() else table["group"].to_list()
    if groups is None and table["group"].null_count() < table.height:
        row = table["group"].is_null().arg_true()[0]
        raise UserError(f"{table['patch_id'][row]} has no group, and others have: folds need one of all, or none")
    repeats = [_pieces(kinds, groups, how["folds"], how["seed"] + repeat) for repeat in range(how["repeats"])]
    return np.stack(repeats, axis=1)


def squares(table: pl.DataFrame, km: float) -> list[str]:
    """The square of so many kilometres that each patch lies in: rows of equal latitude, as wide as they are high.

    Raises:
        UserError: the place of a patch is not known.
    """
    unknown = table["longitude"].is_null() | table["latitude"].is_null()
    if unknown.any():
        raise UserError(f"the place of {table['patch_id'][unknown.arg_true()[0]]} is not known: split otherwise")
    step = km / KM_A_DEGREE
    found = []
    for longitude, latitude in zip(table["longitude"], table["latitude"], strict=True):
        row = math.floor(latitude / step)
        narrow = math.cos(math.radians((row + 0.5) * step))
        found.append(f"{row}/{math.floor(longitude * narrow / step)}")
    return found


def _groups(table: pl.DataFrame) -> list[str]:
    if table["group"].null_count():
        row = table["group"].is_null().arg_true()[0]
        raise UserError(f"{table['patch_id'][row]} has no group: split by another than group")
    groups: list[str] = table["group"].to_list()
    return groups


def _pieces(kinds: Sequence[str], groups: Sequence[str] | None, count: int, seed: int) -> Numbers:
    """Deals patches into pieces of about one size and mixture, each group whole."""
    from sklearn.model_selection import (  # takes a second, and few archives are dealt
        StratifiedGroupKFold,
        StratifiedKFold,
    )

    # One kind of patch would be fewer than there are pieces; they are dealt together.
    of_kind = {kind: kinds.count(kind) for kind in set(kinds)}
    alike = np.array([kind if of_kind[kind] >= count else "" for kind in kinds])
    number = len(set(groups)) if groups else len(kinds)
    if number < count:
        raise UserError(
            f"archive.split: {number} {'groups' if groups else 'patches'} cannot be dealt into {count} parts"
        )
    if groups:
        dealer: Any = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    else:
        dealer = StratifiedKFold(count, shuffle=True, random_state=seed)
    pieces = np.zeros(len(kinds), dtype=np.int64)
    rare = np.count_nonzero(alike == "")
    if 0 < rare < count:
        alike[alike == ""] = max(of_kind, key=lambda kind: of_kind[kind])
    for piece, (_, rows) in enumerate(dealer.split(np.zeros(len(kinds)), alike, groups)):
        pieces[rows] = piece
    return pieces


def _dealt(kinds: Sequence[str], groups: Sequence[str] | None, how: Mapping[str, Any]) -> list[str | None]:
    """Train, val and test of pieces, test and val first; of few groups each is a piece."""
    count = max(3, min(PIECES, len(set(groups or range(len(kinds))))))
    pieces = _pieces(kinds, groups, count, how["seed"])
    test, val = (max(1, round(share * count)) for share in (how["shares"][2], how["shares"][1]))
    return ["test" if piece < test else "val" if piece < test + val else "train" for piece in pieces]


def _held_out(table: pl.DataFrame, how: Mapping[str, Any], kinds: Sequence[str]) -> list[str | None]:
    column = table[how["column"]].cast(pl.String).to_list()
    for key in ("test", "val"):
        for value in how[key]:
            if value not in column:
                known = ", ".join(sorted({str(found) for found in column})[:20])
                raise UserError(f"archive.split.{key}: no patch has the {how['column']} {value}: there are {known}")
    test, val = set(how["test"]), set(how["val"])
    found: list[str | None] = ["test" if v in test else "val" if v in val else "train" for v in column]
    if val:
        return found
    rest = [row for row, name in enumerate(found) if name == "train"]
    here = table[rest]
    groups = None if here["group"].null_count() else here["group"].to_list()
    for row, piece in zip(rest, _pieces([kinds[row] for row in rest], groups, 5, how["seed"]), strict=True):
        found[row] = "val" if piece == 0 else "train"
    return found
