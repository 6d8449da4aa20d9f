"""Which patches are drawn together."""

import polars as pl
import pytest
from earthprobe.errors import UserError
from earthprobe.evaluation.clusters import NAMES, PLURAL, clusters


def rows(tiles: int, count: int = 100, **more: list[object]) -> pl.DataFrame:
    numbers = range(count)
    return pl.DataFrame(
        {
            "patch_id": [f"p{i}" for i in numbers],
            "tile": [f"t{i % tiles}" for i in numbers] if tiles else pl.Series([None] * count, dtype=pl.String),
            "column": pl.Series(list(numbers), dtype=pl.Int16),
            "row": pl.Series([0] * count, dtype=pl.Int16),
            "group": [f"g{i // 10}" for i in numbers],
            **more,
        }
    )


def test_auto_takes_tiles_where_there_are_twenty_and_scenes_else():
    assert clusters(rows(20), "auto").kind == "tile"
    assert clusters(rows(20), "auto").names[:2] == ["t0", "t1"]
    assert clusters(rows(19), "auto") == ("scene", [f"g{i // 10}" for i in range(100)])
    assert clusters(rows(0), "auto").kind == "group"
    alone = rows(0).with_columns(group=pl.lit(None, pl.String))
    assert clusters(alone, "auto").kind == "patch"


def test_folds_take_groups_since_a_tile_is_in_several():
    assert clusters(rows(25, folds=[[0]] * 100), "auto").kind == "scene"


def test_another_kind_is_refused():
    with pytest.raises(UserError, match="no clusters called 'tiles': expected auto or tile, block, scene, patch"):
        clusters(rows(25), "tiles")


def test_blocks_are_ten_cells_wide():
    names = clusters(rows(1), "block").names
    assert names[:11] == ["t0_0_0"] * 10 + ["t0_1_0"]


def test_a_patch_without_a_cluster_stands_for_itself():
    some = rows(1).with_columns(group=pl.when(pl.col("patch_id") != "p3").then("group"))
    names = clusters(some, "scene").names
    assert (names[2], names[3], names[4]) == ("g0", "patch p3", "g0")
    assert clusters(some, "patch").names[0] == "p0"
    assert set(NAMES) <= set(PLURAL)
