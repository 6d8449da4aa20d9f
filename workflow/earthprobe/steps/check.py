"""Compare what an archive holds with what the published one should hold."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from earthprobe import registry
from earthprobe.archives.interface import NO_S2, SENSORS, SPLITS, absent
from earthprobe.storage.files import read_csv, write_csv, write_text
from earthprobe.storage.html import page
from earthprobe.storage.parquet import read_metadata

log = logging.getLogger(__name__)

FEW = 1000
"""Patches below which band statistics say little: a few scenes decide them."""

NEAR = 1.0
"""dB between our statistics and the published ones that a choice of scenes explains."""
NEAR_SHARE = 0.25
"""The same of reflectance, as a share of the published deviation."""
OFFSET = (800, 1200)
"""What brightens every band is the offset of 1,000 that Copernicus has added since processing baseline 04.00."""

TOUCHING = 1.5
"""Cells of 1.2 km between the centres of two patches that touch, at a corner at least."""

AS_PUBLISHED, WITHIN, FEWER, OFF, NOT_JUDGED = "as published", "within", "fewer", "off", "not judged"
LEAKS = "leaks"
IN_ORDER = "in order"


class Finding(NamedTuple):
    """A line of the page."""

    what: str
    found: str
    expected: str
    verdict: str
    advice: str


def run(
    *,
    kind: str,
    snow_and_clouds: bool = False,
    other_split: bool = False,
    patches: Path,
    index: Path,
    statistics: Sequence[Path] = (),
    rejected: Path,
    csv: Path,
    html: Path,
) -> None:
    """Compares an archive with the published one.

    Args:
        kind: the archive's.
        snow_and_clouds: whether reBEN's patches with snow, clouds or shadow belong to it.
        other_split: whether the split is another than the published one.
        patches: ``patches.parquet``.
        index: ``index.parquet``.
        statistics: ``band_statistics`` of each sensor.
        rejected: ``rejected.csv``.
        csv: what was found, what was published, and a verdict.
        html: the same to read.
    """
    own = registry.kind("archives", kind).facts
    published = registry.kind("archives", own.get("read_as", kind)).facts.get("published", {})
    simulated = own.get("simulated", False)
    # A simulated archive has its pixels alone in common with the published one.
    known = {} if simulated else published | (published["snow_and_clouds"] if snow_and_clouds else {})
    if other_split:
        known = {key: value for key, value in known.items() if key not in ("patches", "in_no_split")}
    table = pl.read_parquet(patches, columns=["split"])
    expected = known.get("patches")
    findings = list(_patches(Counter(table["split"]), expected))
    findings += _mismatches(read_metadata(patches)["mismatches"], known.get("in_no_split"))
    sensors = [json.loads(path.read_text(encoding="utf-8")) for path in statistics]
    findings += _rejected(read_csv(rejected), {figures["sensor"] for figures in sensors})
    for figures in sensors:
        expected_here = {b: figure for b, figure in published.get("statistics", {}).items() if b in figures["bands"]}
        findings += _odd(figures)
        if not published:
            findings += _pixels(figures)
            continue
        judge = backscatter_findings if figures["sensor"] == "s1" else reflectance_findings
        # Of few patches that can be read, a whole list of names says nothing.
        why = " The odd values above may be why." if figures["odd"] else ""
        for finding in judge(figures["all"], expected_here, figures["patches"] - figures["rejected"]):
            findings.append(finding._replace(advice=finding.advice + why) if finding.verdict == OFF else finding)
    labels = pl.read_parquet(index)
    findings += _distances(labels)
    whole = expected is not None and sum(expected.values()) == labels.height
    # Of patches with snow and clouds no counts are published apart.
    counts = {} if snow_and_clouds else known.get("label_counts", {})
    findings += _labels(labels, index, counts, whole)
    if not published:
        findings = [_unpublished(finding) for finding in findings if finding.found != "0" or finding.expected]
    write_csv(csv, Finding._fields, findings)
    title = f"What the archive {read_metadata(patches)['archive']} holds"
    summary = verdict(findings, simulated, bool(published))
    log.log(logging.WARNING if summary.startswith("Off") else logging.INFO, "%s", summary)
    rows = [(finding.verdict.split()[0], finding) for finding in findings]
    write_text(html, page(title, [f"**{summary}**"], Finding._fields, rows, STYLE))


def verdict(findings: list[Finding], simulated: bool, published: bool = True) -> str:
    """The whole in a sentence."""
    off = [finding for finding in findings if finding.verdict == OFF]
    if off:
        first = off[0]
        more = f" {len(off) - 1} more lines below are off." if len(off) > 1 else ""
        return f"Off: {first.what}: {first.found}, expected {first.expected}. {first.advice}{more}"
    if simulated:
        return "A simulated archive: its pixels are like those of BigEarthNet v1, and nothing else can be compared."
    if not published:
        return "Nothing is off. Nobody published what this archive should hold, so that its figures are not judged."
    if any(finding.verdict == FEWER for finding in findings):
        return "A part of the published archive; nothing that can be compared is off."
    return "As published."


def _patches(found: Mapping[str, int], expected: Mapping[str, int] | None) -> Iterator[Finding]:
    for split in SPLITS:
        what = f"patches of {split}"
        if expected is None:
            yield Finding(what, f"{found[split]:,}", "", NOT_JUDGED, "")
            continue
        difference = found[split] - expected[split]
        word = AS_PUBLISHED if not difference else FEWER if difference < 0 else OFF
        advice = {
            AS_PUBLISHED: "",
            FEWER: f"{-difference:,} are missing: split_mismatches.csv names those that the lists have.",
            OFF: f"{difference:,} too many: are the lists the published ones?",
        }[word]
        yield Finding(what, f"{found[split]:,}", f"{expected[split]:,}", word, advice)


def _mismatches(found: Mapping[str, int], in_no_split: int | None) -> Iterator[Finding]:
    for problem, advice in (
        ("not on disk", "The lists name them and the archive lacks them: fetch it again, if it should be whole."),
        ("in two splits: left out", "They would leak from train to test: are the lists the published ones?"),
        ("twice in the split: kept once", "Are the lists the published ones?"),
        ("found twice", "split_mismatches.csv says where: remove the one that does not belong there."),
    ):
        count = found.get(problem, 0)
        bad = FEWER if problem == "not on disk" else OFF
        yield Finding(f"patches {problem}", f"{count:,}", "0", bad if count else AS_PUBLISHED, advice if count else "")
    count = found.get("in no split", 0)
    if in_no_split is None:
        yield Finding("patches in no split", f"{count:,}", "", NOT_JUDGED, "")
    else:
        word = OFF if count > in_no_split else AS_PUBLISHED if count == in_no_split else FEWER
        advice = "The archive holds patches that no list knows: do they belong together?" if word == OFF else ""
        yield Finding("patches in no split", f"{count:,}", f"{in_no_split:,}", word, advice)


def _rejected(rows: list[dict[str, str]], sensors: set[str]) -> Iterator[Finding]:
    without = {row["patch_id"] for row in rows if row["reason"] == NO_S2}
    damaged = [row for row in rows if row["reason"] not in set(map(absent, sensors))]
    for of_labels, what in ((True, "labels"), (False, "pixels")):
        count = len({row["patch_id"] for row in damaged if (row["step"] == "index") == of_labels})
        advice = "rejected.csv names them and says why." if count else ""
        yield Finding(f"patches without readable {what}", f"{count:,}", "0", OFF if count else AS_PUBLISHED, advice)
    if "s2" in sensors:
        advice = "rejected.csv names them: fetch Sentinel-2 again, if it should be whole." if without else ""
        word = FEWER if without else AS_PUBLISHED
        yield Finding("patches without Sentinel-2", f"{len(without):,}", "0", word, advice)


def _odd(figures: Mapping[str, Any]) -> Iterator[Finding]:
    """Values that no sensor gives, however small the archive is."""
    name, odd = SENSORS.get(figures["sensor"], figures["sensor"]), figures["odd"]
    units = ", ".join(dict.fromkeys(band["unit"] for band in figures["bands"].values()))
    advice = f"The first is {odd[0][0]}: it {odd[0][1]}. Are these {units}?" if odd else ""
    yield Finding(f"patches with odd values of {name}", f"{len(odd):,}", "0", OFF if odd else AS_PUBLISHED, advice)


def _unpublished(finding: Finding) -> Finding:
    """A line about an archive of which nobody published what it should hold."""
    word = {AS_PUBLISHED: IN_ORDER, FEWER: NOT_JUDGED}.get(finding.verdict, finding.verdict)
    return finding._replace(expected="", verdict=word)


def _pixels(figures: Mapping[str, Any]) -> Iterator[Finding]:
    """The pixels of bands of which nobody published what they should be."""
    for name, here in figures["all"].items():
        band = figures["bands"][name]
        shown = f"{here['mean']:.4g} ± {here['std']:.3g} {band['unit']}"
        size = f"{band['size']} x {band['size']} pixels"
        yield Finding(f"pixels of {name}", shown, "", NOT_JUDGED, size)


def backscatter_findings(
    found: Mapping[str, Mapping[str, float]], expected: Mapping[str, tuple[float, float]], patches: int
) -> Iterator[Finding]:
    """What the pixels of each Sentinel-1 band say of themselves.

    Args:
        found: band -> its ``mean`` and ``std``.
        expected: band -> its published mean and deviation, in dB.
        patches: how many the figures stand for.
    """
    means = {band: found[band]["mean"] for band in expected}
    swapped = means["VV"] < means["VH"]
    for band, (mean, std) in expected.items():
        here = found[band]
        far = abs(here["mean"] - mean) > NEAR or abs(here["std"] - std) > NEAR
        if swapped:
            word, advice = OFF, "VV is darker than VH: the bands are swapped."
        elif here["mean"] > 2:
            word, advice = OFF, "These are amplitudes or digital numbers, not dB."
        elif here["mean"] > 0:
            word, advice = OFF, "This is linear power, not dB: take 10 * log10 of it."
        elif far and patches < FEW:
            word, advice = NOT_JUDGED, f"{patches:,} patches are too few to tell."
        elif far:
            word, advice = OFF, "Other scenes, another calibration, or filtered speckle."
        else:
            word, advice = AS_PUBLISHED, ""
        shown = f"{here['mean']:.2f} ± {here['std']:.2f} dB"
        yield Finding(f"pixels of {band}", shown, f"{mean:.2f} ± {std:.2f} dB", word, advice)


def reflectance_findings(
    found: Mapping[str, Mapping[str, float]], expected: Mapping[str, tuple[float, float]], patches: int
) -> Iterator[Finding]:
    """What the pixels of each Sentinel-2 band say of themselves.

    Args:
        found: band -> its ``mean`` and ``std``.
        expected: band -> its published mean and deviation, reflectance times 10,000.
        patches: how many the figures stand for.
    """
    brighter = sorted(found[band]["mean"] - mean for band, (mean, _) in expected.items())
    offset = OFFSET[0] < brighter[len(brighter) // 2] < OFFSET[1] and brighter[0] > NEAR_SHARE * OFFSET[0]
    for band, (mean, std) in expected.items():
        here = found[band]
        far = max(abs(here["mean"] - mean), abs(here["std"] - std)) > NEAR_SHARE * std
        if offset and patches >= FEW:
            word, advice = OFF, "All bands are about 1,000 too bright: subtract the offset of baseline 04.00."
        elif far and patches < FEW:
            word, advice = NOT_JUDGED, f"{patches:,} patches are too few to tell."
        elif far:
            word, advice = OFF, "Other scenes, clouds, or another processing."
        else:
            word, advice = AS_PUBLISHED, ""
        yield Finding(
            f"pixels of {band}", f"{here['mean']:.0f} ± {here['std']:.0f}", f"{mean:.0f} ± {std:.0f}", word, advice
        )


def _distances(table: pl.DataFrame) -> Iterator[Finding]:
    """How far test lies from train: a test patch beside a train patch has its neighbour's labels."""
    cells = table.filter(pl.col("split") == "test")["cells_to_train"].drop_nulls()
    if cells.is_empty():
        return
    low, middle, high = (float(cells.quantile(q, "nearest") or 0) for q in (0.0, 0.5, 1.0))
    near = int((cells < TOUCHING).sum())
    shown = f"{low:.3g} to {high:.3g} cells, median {middle:.3g}"
    touching = f"{near:,} of {len(cells):,} test patches touch a train patch"
    word = LEAKS if near > len(cells) / 2 else NOT_JUDGED
    advice = "a score may be neighbourhood: see the control neighbours, archive.split and buffer." if near else ""
    yield Finding("from test to the nearest train patch", shown, "", word, "; ".join(filter(None, (touching, advice))))


def _labels(
    table: pl.DataFrame, index: Path, expected: Mapping[str, Mapping[str, Mapping[str, int]]], whole: bool
) -> Iterator[Finding]:
    classes = read_metadata(index)["classes"]
    for label_set, of_split in expected.items():
        for split, counts in of_split.items():
            # Of v1 only the counts of all published patches are known, those in no split among them.
            bound = split == "all"
            here = table if bound else table.filter(pl.col("split") == split)
            present = Counter(here[f"labels_{label_set}"].explode().to_list())
            for name, most in counts.items():
                count = present[classes[label_set].index(name)]
                bad = count > most or (whole and not bound and count < most)
                word = OFF if bad else AS_PUBLISHED if count == most else WITHIN if bound else FEWER
                yield Finding(
                    f"{name}, {'all splits' if bound else split}",
                    f"{count:,}",
                    f"at most {most:,}" if bound else f"{most:,}",
                    word,
                    "The labels are not the published ones." if word == OFF else "",
                )


STYLE = """
td:nth-child(2), td:nth-child(3) { text-align: right; }
td:nth-child(2), td:nth-child(3), td:nth-child(4) { white-space: nowrap; }
.off { background: #fbe3e0; } .leaks { background: #fdf3d8; } .fewer, .not { color: #666; }
"""
