"""What is said in short: each sentence against the rows and comparisons behind it."""

from typing import Any

import pytest
from earthprobe.summary import summary

BANDS = ["VV", "VH"]
ROWS: dict[str, dict[str, Any]] = {
    "dofa/linear": {"kind": "dofa", "model": "base", "weights": "DOFA_MAE", "bands": BANDS},
    "dofa/mlp": {"kind": "dofa", "model": "base", "weights": "DOFA_MAE", "bands": BANDS},
    "twin/linear": {"kind": "dofa", "model": "base", "weights": "random:0", "bands": BANDS},
    "twin/mlp": {"kind": "dofa", "model": "base", "weights": "random:0", "bands": BANDS},
    "large/linear": {"kind": "dofa", "model": "large", "weights": "random:0", "bands": BANDS},
    "pixels/linear": {"kind": "statistics", "model": "", "weights": "", "bands": BANDS[::-1]},
    "optical/linear": {"kind": "statistics", "model": "", "weights": "", "bands": ["B02"]},
    "control/prior": {"kind": "control", "weights": "", "bands": []},
    "control/tile": {"kind": "control", "weights": "", "bands": []},
    "control/permuted": {"kind": "control", "weights": "", "bands": []},
}
SCORES = dict(zip(ROWS, (0.6, 0.5, 0.4, 0.55, 0.58, 0.45, 0.59, 0.1, 0.2, 0.9), strict=True))


def result(name: str, **more: Any) -> dict[str, Any]:
    score = SCORES[name]
    found = {
        "task": "multilabel",
        "test": {"map_macro": score, "patches": 1234},
        "intervals": {"map_macro": [score - 0.02, score + 0.01]},
        "intervals_by": {"level": 0.95, "draws": 1000, "cluster": "tile", "clusters": 9},
        "classes": list("abc"),
        "features": {"archive": "x", "simulated": False, **ROWS[name], **more},
    }
    return found | ({"control": {"known": True}} if name.startswith("control") else {})


def pair(row: str, other: str, value: float, apart: int, metric: str = "map_macro") -> dict[str, str]:
    line = {
        "row": row,
        "other": other,
        "metric": metric,
        "told_apart": apart,
        "difference": value,
        "p_holm": 0.004 if apart else 0.25,
    }
    return {key: str(text) for key, text in (line | {"low": value - 0.03, "high": value + 0.04}).items()}


def said(names: list[str], *pairs: dict[str, str], **more: Any) -> list[str]:
    rows = [(name.split("/")[0], name.split("/")[1]) for name in names]
    return summary(rows, [result(name, **more) for name in names], pairs)


def test_five_sentences_of_a_whole_study():
    pairs = [
        pair("dofa/linear", "twin/linear", 0.2, 1),
        pair("pixels/linear", "dofa/linear", -0.15, 1),  # whichever of the two comes first
        pair("dofa/linear", "control/tile", 0.4, 0),
        pair("dofa/linear", "dofa/mlp", 0.1, 0),
        pair("dofa/linear", "large/linear", 0.02, 0, "f2_macro"),  # of another metric
    ]
    assert said(list(ROWS), *pairs) == [
        "**Best:** dofa/linear, the highest of 7 rows on test, has mAP macro 60.0 % [58.0, 61.0]"
        " on 1,234 test patches, 3 classes.",
        "**Gain** over the pixels: +15.0 points [+11.0, +18.0] (told apart, Holm's p 0.004) against pixels/linear;"
        " over random weights: +20.0 points [+17.0, +24.0] (told apart, Holm's p 0.004) against twin/linear.",
        "**Without a pixel** control/tile has 20.0 % [18.0, 21.0]: the best has +40.0 points [+37.0, +44.0]"
        " (not told apart, Holm's p 0.25).",
        "**Not told apart** from the best, of the 4 rows that it was compared with (5 %, Holm over 4 comparisons):"
        " control/tile, dofa/mlp.",
        "**Of** the archive x; 95 % intervals by 1,000 draws of the 9 tiles of the test patches."
        " **Random weights in twin, large: never trained.**",
    ]


def test_a_pair_that_was_not_compared_has_no_interval():
    lines = said(["dofa/linear", "pixels/linear"])
    assert "over the pixels: +15.0 points (not compared) against pixels/linear" in lines[1]
    assert "no such row of its model" in lines[1]
    assert lines[2].startswith("**Without a pixel** no control was run")
    assert lines[3] == "**Not told apart:** the best was compared with no other row."


def test_all_others_are_worse():
    names = ["dofa/linear", "twin/linear"]
    assert said(names, pair(*names, 0.2, 1))[3] == (
        "**Not told apart** from the best, of all others (5 %, Holm over 1 comparisons): none."
    )


def test_what_is_simulated_and_random_is_said():
    *_, last = said(["twin/linear", "twin/mlp"], simulated=True)
    assert "simulated archive x" in last
    assert "**Random weights: never trained.**" in last
    assert "**Simulated: these figures show that the workflow runs, nothing else.**" in last


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["twin/mlp"], "over the pixels: no row is made of the same pixels alone; over random weights: the best has"),
        (["optical/linear"], "over the pixels: the best is made of them alone;"),
        (["dofa/mlp", "pixels/linear"], "over the pixels: no row is made of the same pixels alone;"),  # another probe
    ],
)
def test_gains_that_nothing_tells(names: list[str], text: str):
    assert text in said(names)[1]


def test_of_vectors_without_pixels_there_is_no_gain():
    assert "over the pixels: the best sees none;" in said(["dofa/linear", "pixels/linear"], bands=[])[1]


def test_an_unknown_control_is_left_out():
    rows = [("dofa", "linear"), ("control", "tile")]
    unknown = result("control/tile") | {"control": {"known": False}}
    assert "no control was run" in summary(rows, [result("dofa/linear"), unknown], [])[2]


def test_many_rows_are_counted():
    others = ["dofa/mlp", "twin/linear", "twin/mlp", "large/linear", "pixels/linear", "optical/linear"]
    line = said(["dofa/linear", *others], *(pair("dofa/linear", other, 0.1, 0) for other in others))[3]
    assert line.endswith(": dofa/mlp, twin/linear, twin/mlp, large/linear and 2 more.")
