"""Splits and folds of a table's patches."""

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from earthprobe.archives import splits
from earthprobe.errors import UserError

HOW: dict[str, Any] = {
    "by": "random", "shares": [0.6, 0.2, 0.2], "seed": 0, "km": 10, "column": "country", "test": [], "val": [],
    "folds": 5, "repeats": 3,
}  # fmt: skip


def table(count: int = 600) -> pl.DataFrame:
    """Patches of 40 groups, each at a place of its own."""
    rng = np.random.default_rng(1)
    group = rng.integers(0, 40, count)
    return pl.DataFrame(
        {
            "patch_id": [f"p{i:04d}" for i in range(count)],
            "split": [None] * count,
            "group": [f"g{g}" for g in group],
            "longitude": 10 + group / 10 + rng.random(count) / 100,
            "latitude": 50 + group / 20 + rng.random(count) / 100,
            "country": [["Austria", "Finland", "Portugal"][g % 3] for g in group],
        }
    )


def kinds(count: int = 600) -> list[str]:
    rng = np.random.default_rng(2)
    return rng.choice(["forest", "water", "rare"], count, p=[0.7, 0.28, 0.02]).tolist()


@pytest.mark.parametrize("by", ["random", "group", "place"])
def test_shares_are_met_and_the_seed_decides(by: str):
    patches, how = table(), HOW | {"by": by}
    found = splits.split(patches, how, kinds())
    counts = Counter(found)
    assert counts["train"] / 600 == pytest.approx(0.6, abs=0.08)
    assert counts["val"] / 600 == pytest.approx(0.2, abs=0.06)
    assert found == splits.split(patches, how, kinds())
    assert found != splits.split(patches, how | {"seed": 1}, kinds())


def test_random_deals_classes_alike():
    found, known = splits.split(table(), HOW, kinds()), kinds()
    for split in ("train", "val", "test"):
        here = [kind for kind, name in zip(known, found, strict=True) if name == split]
        assert here.count("water") / len(here) == pytest.approx(known.count("water") / 600, abs=0.03)


def test_a_group_is_in_one_split():
    patches = table()
    found = splits.split(patches, HOW | {"by": "group"}, kinds())
    pairs = set(zip(patches["group"], found, strict=True))
    assert len(pairs) == patches["group"].n_unique()


def test_a_square_is_in_one_split_and_has_its_size():
    patches = table()
    squares = splits.squares(patches, 10)
    found = splits.split(patches, HOW | {"by": "place"}, kinds())
    assert len(set(zip(squares, found, strict=True))) == len(set(squares))
    for square in set(squares):
        here = patches.filter(pl.Series([s == square for s in squares]))
        high = (here["latitude"].max() - here["latitude"].min()) * 111.195  # type: ignore[operator]
        wide = (here["longitude"].max() - here["longitude"].min()) * 111.195 * np.cos(np.radians(51))  # type: ignore[operator]
        assert max(high, wide) <= 10.3


def test_hold_out_tests_on_the_values_named():
    patches = table()
    found = splits.split(patches, HOW | {"by": "hold_out", "test": ["Finland"]}, kinds())
    by_country = {(c, s) for c, s in zip(patches["country"], found, strict=True)}
    assert by_country == {(c, s) for c in ("Austria", "Portugal") for s in ("train", "val")} | {("Finland", "test")}
    groups = {(g, s) for g, s in zip(patches["group"], found, strict=True)}
    assert len(groups) == patches["group"].n_unique()  # val keeps groups whole, too
    both = splits.split(patches, HOW | {"by": "hold_out", "test": ["Finland"], "val": ["Austria"]}, kinds())
    assert {s for c, s in zip(patches["country"], both, strict=True) if c == "Austria"} == {"val"}
    with pytest.raises(UserError, match=r"archive.split.test: no patch has the country Norway: there are Austria, Fin"):
        splits.split(patches, HOW | {"by": "hold_out", "test": ["Norway"]}, kinds())


def test_every_patch_is_tested_once_a_repeat_and_no_group_is_in_two_folds():
    patches = table()
    numbers = splits.folds(patches, HOW, kinds())
    assert numbers.shape == (600, 3)
    for repeat in range(3):
        assert set(numbers[:, repeat]) == set(range(5))
        assert len(set(zip(patches["group"], numbers[:, repeat], strict=True))) == patches["group"].n_unique()
        assert np.bincount(numbers[:, repeat]).min() > 60
    assert (numbers[:, 0] != numbers[:, 1]).any()
    np.testing.assert_array_equal(numbers, splits.folds(patches, HOW, kinds()))


def test_without_groups_patches_are_dealt_by_class():
    patches = table().with_columns(group=pl.lit(None, pl.String))
    numbers = splits.folds(patches, HOW, kinds())
    water = np.array(kinds()) == "water"
    assert np.ptp(np.bincount(numbers[water, 0])) <= 1


@pytest.mark.parametrize(
    ("change", "by", "message"),
    [
        ({"group": ["a"] * 300 + ["b"] * 300}, "folds", "archive.split: 2 groups cannot be dealt into 5 parts"),
        ({"group": [None] + ["a"] * 599}, "folds", "p0000 has no group, and others have"),
        ({"group": [None] + ["a"] * 599}, "group", "p0000 has no group: split by another than group"),
        ({"longitude": [None] + [1.0] * 599}, "place", "the place of p0000 is not known: split otherwise"),
    ],
)
def test_what_cannot_be_split_is_said(change: dict[str, Any], by: str, message: str):
    patches, how = table().with_columns(**{k: pl.Series(v) for k, v in change.items()}), HOW | {"by": by}
    with pytest.raises(UserError, match=message):
        splits.folds(patches, how, kinds()) if by == "folds" else splits.split(patches, how, kinds())


def test_hardly_any_patches_of_a_class():
    patches = table(30)
    assert set(splits.split(patches, HOW, ["a"] * 29 + ["b"])) == {"train", "val", "test"}


@pytest.mark.parametrize("by", ["group", "random", "place"])
def test_few_groups_are_dealt_whole(by: str):
    few = table(45).with_columns(group=pl.Series([f"g{i % 15}" for i in range(45)]))
    few = few.with_columns(longitude=pl.Series([float(i % 15) for i in range(45)]), latitude=pl.lit(50.0))
    found = splits.split(few, HOW | {"by": by, "km": 10}, kinds(45))
    counts = {name: found.count(name) for name in ("train", "val", "test")}
    assert counts["train"] > counts["val"] >= 6
    assert counts["test"] >= 6
    if by == "group":
        assert all(len({f for f, g in zip(found, few["group"], strict=True) if g == one}) == 1 for one in few["group"])
