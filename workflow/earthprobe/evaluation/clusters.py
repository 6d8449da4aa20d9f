"""Which patches are not independent of each other, and so are drawn together."""

from typing import NamedTuple

import polars as pl

from earthprobe.errors import UserError

CELLS = 10
"""Cells along a side of a block: 12 km."""

FEWEST = 20
"""Tiles that an interval needs, below which scenes are drawn."""

NAMES = ("tile", "block", "scene", "patch")
"""What clusters can be; ``auto`` takes one of them."""

PLURAL = {"tile": "tiles", "block": "blocks of 12 km", "scene": "scenes", "group": "groups", "patch": "patches"}
"""How tables call them."""

COLUMNS = ("patch_id", "tile", "column", "row", "group", "folds")
"""The columns of ``index.parquet`` that say which patches are not independent; ``folds`` where there are any."""


class Clusters(NamedTuple):
    """The clusters of patches.

    Attributes:
        kind: what they are.
        names: of each patch, its cluster.
    """

    kind: str
    names: list[str]


def clusters(rows: pl.DataFrame, kind: str) -> Clusters:
    """The cluster of each patch; one whose cluster is not known stands for itself.

    Args:
        rows: of ``index.parquet``, of the patches that are drawn.
        kind: one of :data:`NAMES`, or ``auto``: tiles where there are enough of them, else scenes, which a table calls
            groups; of folds these, since no other is whole in a fold; and patches where nothing else is known.

    Raises:
        UserError: there is no such kind.
    """
    if kind == "auto":
        kind = _chosen(rows)
    return Clusters(
        kind, rows.select(pl.coalesce(_column(kind), pl.concat_str(pl.lit("patch "), "patch_id"))).to_series().to_list()
    )


def are_known(rows: pl.DataFrame, kind: str) -> bool:
    """Whether any patch has a cluster of a kind; else each would stand for itself."""
    return rows.select(_column(kind)).to_series().null_count() < rows.height


def _chosen(rows: pl.DataFrame) -> str:
    several = {
        name for name in ("tile", "group") if rows[name].n_unique() > 1 and rows[name].null_count() < rows.height
    }
    if "tile" in several and "folds" not in rows.columns and rows["tile"].n_unique() >= FEWEST:
        return "tile"
    if "group" not in several:
        return "patch"
    return "group" if rows["tile"].null_count() == rows.height else "scene"


def _column(kind: str) -> pl.Expr:
    match kind:
        case "tile":
            return pl.col("tile")
        case "block":
            return pl.concat_str(["tile", pl.col("column") // CELLS, pl.col("row") // CELLS], separator="_")
        case "scene" | "group":
            return pl.col("group")
        case "patch":
            return pl.col("patch_id")
    raise UserError(f"there are no clusters called {kind!r}: expected auto or {', '.join(NAMES)}")
