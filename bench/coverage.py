"""How often intervals hold a known truth, and how often two equal models are told apart: python -m bench.coverage.

Patches come in tiles whose classes and errors are alike, as those of an archive do. The truth is what a great many
tiles give.
"""

import argparse
from collections import Counter

import numpy as np
from earthprobe.evaluation.comparison import Figure, difference
from earthprobe.evaluation.intervals import evaluated, interval
from earthprobe.evaluation.metrics import overall
from earthprobe.evaluation.runs import plain

METRICS = ("f2_macro", "f2_micro", "map_macro", "map_micro")
SHARES = np.array([0.3, 0.2, 0.1, 0.15, 0.25])
"""Of classes among patches."""


def patches(rng: np.random.Generator, tiles: int, each: int, models: int = 1) -> tuple[np.ndarray, ...]:
    """Targets, scores of models that are equally good, and tiles of patches."""
    tile = np.repeat(np.arange(tiles), each)
    cover = np.log(SHARES / (1 - SHARES)) + rng.normal(size=(tiles, len(SHARES)))
    targets = rng.random((len(tile), len(SHARES))) < 1 / (1 + np.exp(-cover[tile]))
    found = []
    for _ in range(models):
        error = 0.7 * rng.normal(size=cover.shape)[tile] + rng.normal(size=targets.shape)
        found.append((1 / (1 + np.exp(1 - 1.2 * targets - error))).astype(np.float32))
    return targets, np.stack(found), tile


def main() -> None:
    """Prints the shares of runs whose intervals hold the truth, and of comparisons that tell equals apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--tiles", type=int, default=80)
    parser.add_argument("--each", type=int, default=20, help="patches of a tile")
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    targets, (scores,), _ = patches(rng, 20_000, options.each)
    truth = overall(targets, scores, 0.5)
    inside: Counter[tuple[str, str]] = Counter()
    apart: Counter[str] = Counter()
    for _ in range(options.runs):
        targets, (one, other), tile = patches(rng, options.tiles, options.each, models=2)
        first, second = (
            evaluated(targets, [[plain(scores, 0.5)]], tile, "multilabel", options.draws) for scores in (one, other)
        )
        single = evaluated(targets, [[plain(one, 0.5)]], np.arange(len(tile)), "multilabel", options.draws)
        values = [overall(targets, scores, 0.5) for scores in (one, other)]
        for name in METRICS:
            for by, ends in (
                ("tile", first.overall[name]),
                ("tile, percentiles", interval(first.draws[name], values[0][name])),
                ("patch", single.overall[name]),
            ):
                inside[name, by] += ends[0] <= truth[name] <= ends[1]
            figures = [
                Figure(value[name], sure.draws[name], sure.left_out.get(name))
                for value, sure in zip(values, (first, second), strict=True)
            ]
            apart[name] += difference(*figures).p < 0.05
    for (name, by), count in inside.items():
        print(f"{name}, drawn by {by}: {100 * count / options.runs:.1f} % hold the truth")
    for name, count in apart.items():
        print(f"{name}: {100 * count / options.runs:.1f} % of equals are told apart")


if __name__ == "__main__":
    main()
