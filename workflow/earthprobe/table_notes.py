"""What one must know of a table, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from earthprobe.describe import describe_origin, is_random, summed_bands
from earthprobe.evaluation.clusters import PLURAL
from earthprobe.evaluation.metrics import BATCH, BATCHED, BEST, heading_of
from earthprobe.sections import Result

GAIN_NOTE = (
    "Gain over pixels: {metric} less that of the best of statistics and rcf with the same bands and probe, in points."
)

EMPTY_NOTE = "{} of the {} classes have no positive in the test split; they score 0 and count in the macro averages."

SUMMED = "{name}: {bands} have one wavelength, so that DOFA sees their sum alone, and no difference (docs/models.md)."


def notes_of(ours: Sequence[Mapping[str, Any]], result: Mapping[str, Any], gains: bool) -> list[str]:
    """What holds for all rows of a run.

    Args:
        ours: rows of models.
        result: a ``metrics.json`` of them.
        gains: whether rows have their gain over the pixels.
    """
    source, test = result["features"], result["test"]
    notes = []
    untrained = dict.fromkeys(row["features"] for row in ours if is_random(row["weights"]))
    if len(untrained) == len({row["features"] for row in ours}):
        notes.append("**Random weights: the model was never trained.**")
    elif untrained:
        verb = "was" if len(untrained) == 1 else "were"
        notes.append(f"**Random weights: {', '.join(untrained)} {verb} never trained.**")
    if source["simulated"]:
        notes.append("**Simulated archive: these figures show that the workflow runs, nothing else.**")
    single = result["task"] == "single"
    rule = (
        "the class that scores best is predicted"
        if single
        else (f"a class is predicted where its score is above {result['threshold']:g}")
    )
    few, empty = result["classes_left_out"], test["classes_without_positive"]
    return [
        *notes,
        *_of_splits(ours[0]["data"], result, rule),
        *([EMPTY_NOTE.format(empty, len(result["classes"]))] if empty else []),
        *([f"Left out, since too few patches have them: {named(few)}."] if few else []),
        *([GAIN_NOTE.format(metric=heading_of(BEST[result["task"]]))] if gains else []),
    ]


def named(counts: Mapping[str, int]) -> str:
    """Classes, each with its number."""
    return ", ".join(f"{name} ({number})" for name, number in counts.items())


def _of_splits(data: str, result: Mapping[str, Any], rule: str) -> list[str]:
    """What was tested on what, in a sentence or a few."""
    test, by = result["test"], result["intervals_by"]
    drawn = f"{by['draws']:,} draws of the {by['clusters']} {PLURAL[by['cluster']]} of the test patches"
    level = f"In brackets: {100 * by['level']:.0f} % intervals, by {drawn}"
    if "folds" not in result:
        return [
            f"Test split of {data}: {test['patches']} patches; trained on {result['patches']['train']}; {rule}.",
            f"{level}; the CSV has those by patches beside them, which are too sure where patches are alike.",
        ]
    folds = result["folds"]
    unseen = result["unseen_classes"]
    lines = [
        f"{data[0].upper()}{data[1:]}: {test['patches']} patches, each tested once in each of {folds['repeats']}"
        f" repeats by a probe that has seen none of its fold ({folds['folds']} folds, groups kept whole; one chooses"
        f" hyper-parameters, the others train); {rule}. Figures are means over the repeats.",
        f"{level} and of the {by['repeats']} repeats.",
    ]
    if unseen:
        classes = {result["classes"][int(number)]: times for number, times in unseen.items()}
        lines.append(f"Without a positive in the training part of some fits: {named(classes)}.")
    return lines


def origins(results: Sequence[Result]) -> list[str]:
    """A line a feature set: what made it, so that a table says how to get its figures again."""
    sets = {features: result for features, _, result in results}
    # Not every patch has every sensor.
    differ = len({count_of(result) for result in sets.values()}) > 1
    lines = []
    for name, result in sets.items():
        lines.append(
            f"{name}: {describe_origin(result['features'])}{f'; {count_of(result)} test patches' if differ else ''}."
        )
        lines += [SUMMED.format(name=name, bands=" and ".join(bands)) for bands in summed_bands(result["features"])]
    return lines


def batched(results: Sequence[Result]) -> list[str]:
    """The figure that Copernicus-Bench would give, of the rows that probe as it does."""
    found = [
        f"{features}/{probe} {100 * result['test'][BATCHED]:.1f} ({100 * result['test']['map_micro']:.1f} over all)"
        for features, probe, result in results
        if BATCHED in result["test"]
    ]
    if not found:
        return []
    return [f"mAP micro as Copernicus-Bench has it, the mean over batches of {BATCH} test patches: {', '.join(found)}."]


def leaves(results: Sequence[Result]) -> list[str]:
    """How small the leaves of forests may be, on which more of their scores hangs than on the number of trees."""
    found = {probe: result["probe"].get("min_samples_leaf") for _, probe, result in results if "probe" in result}
    sizes = [f"{probe} {size}" for probe, size in found.items() if size is not None]
    return [f"Fewest train patches of a leaf: {', '.join(sizes)}."] if sizes else []


def limits(results: Sequence[Result]) -> list[str]:
    """Which probes took the end of a grid or were stopped: more may be in them."""
    rows: dict[str, list[str]] = {}
    for features, probe, result in results:
        for limit in result.get("limits", []):
            rows.setdefault(limit, []).append(f"{features}/{probe}")
    return [f"At a limit: {', '.join(names)} {limit}." for limit, names in rows.items()]


def count_of(result: Mapping[str, Any]) -> int:
    """The number of test patches."""
    count: int = result["test"]["patches"]
    return count
