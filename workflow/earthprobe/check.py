"""check: what an archive holds, beside what the published one should hold."""

import csv
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from earthprobe.bands import BANDS
from earthprobe.files import read_metadata, write_csv, write_text
from earthprobe.layout import NO_S2, SPLITS

log = logging.getLogger(__name__)

PATCHES = {
    ("bigearthnet-v1", False): {"train": 269_695, "val": 123_723, "test": 125_866},
    ("reben", False): {"train": 237_871, "val": 122_342, "test": 119_825},
    ("reben", True): {"train": 237_871 + 34_673, "val": 122_342 + 17_235, "test": 119_825 + 17_542},
}
"""By kind and whether snow and clouds are taken, too: the lengths of the official split files and tables."""

IN_NO_SPLIT = {("bigearthnet-v1", False): 590_326 - 519_284, ("reben", False): 69_450, ("reben", True): 0}
"""Patches that are published, but by design in no split: snow, clouds, shadow, or without a class of 19."""

PUBLISHED = {
    "bigearthnet-v1": {
        "VV": (-12.62, 5.12),
        "VH": (-19.29, 5.46),
        "B01": (340.8, 554.8),
        "B02": (429.9, 572.4),
        "B03": (614.2, 582.9),
        "B04": (590.2, 675.9),
        "B05": (950.7, 729.9),
        "B06": (1792.5, 1096.0),
        "B07": (2075.5, 1273.5),
        "B08": (2218.9, 1365.5),
        "B8A": (2266.5, 1356.1),
        "B09": (2246.1, 1302.3),
        "B11": (1594.4, 1079.2),
        "B12": (1009.3, 818.9),
    },
    "reben": {
        "VV": (-12.548, 5.257),
        "VH": (-20.192, 5.912),
        "B01": (361.1, 575.1),
        "B02": (438.4, 607.0),
        "B03": (614.1, 603.3),
        "B04": (588.4, 684.6),
        "B05": (942.8, 738.4),
        "B06": (1769.9, 1100.5),
        "B07": (2049.6, 1275.8),
        "B08": (2193.3, 1369.4),
        "B8A": (2235.6, 1356.5),
        "B09": (2241.5, 1316.4),
        "B11": (1568.2, 1070.2),
        "B12": (997.7, 813.5),
    },
}
"""Mean and deviation in dB or reflectance times 10,000: of v1 by bigearthnet_common, of reBEN's radar by
Copernicus-Bench (a twentieth of the patches) and of its reflectance by ConfigILM (train split, not resampled)."""

FEW = 1000
"""Patches below which band statistics say little: a few scenes decide them."""

NEAR = 1.0
"""dB between our statistics and the published ones that a choice of scenes explains."""
NEAR_SHARE = 0.25
"""The same of reflectance, as a share of the published deviation."""
OFFSET = (800, 1200)
"""What brightens every band is the offset of 1,000 that Copernicus has added since processing baseline 04.00."""

AS_PUBLISHED, WITHIN, FEWER, OFF, NOT_JUDGED = "as published", "within", "fewer", "off", "not judged"


class Finding(NamedTuple):
    """A line of the page."""

    what: str
    found: str
    expected: str
    verdict: str
    advice: str


def check(
    kind: str,
    snow_and_clouds: bool,
    *,
    patches: Path,
    mismatches: Path,
    index: Path,
    statistics: Sequence[Path],
    rejected: Path,
    label_counts: Path,
    output: Path,
    page: Path,
) -> list[Finding]:
    """Compares an archive with the published one.

    Args:
        kind: the archive's.
        snow_and_clouds: whether reBEN's patches with snow, clouds or shadow belong to it.
        patches: ``patches.parquet``.
        mismatches: ``split_mismatches.csv``.
        index: ``index.parquet``.
        statistics: ``band_statistics.json`` of each sensor.
        rejected: ``rejected.csv``.
        label_counts: CSV of published label counts: kind, split, label_set, class, patches.
        output: CSV with the columns of :class:`Finding`.
        page: the same in HTML.

    Returns:
        What was found.
    """
    published = "bigearthnet-v1" if kind == "simulated" else kind
    table = pl.read_parquet(patches, columns=["split"])
    expected = PATCHES.get((kind, snow_and_clouds))
    findings = list(_patches(Counter(table["split"]), expected))
    findings += _mismatches(
        Counter(row["problem"] for row in _rows(mismatches)), IN_NO_SPLIT.get((kind, snow_and_clouds))
    )
    sensors = [json.loads(path.read_text(encoding="utf-8")) for path in statistics]
    findings += _rejected(_rows(rejected), {figures["sensor"] for figures in sensors})
    for figures in sensors:
        expected_here = {
            b: figure for b, figure in PUBLISHED[published].items() if BANDS[b].sensor == figures["sensor"]
        }
        judge = backscatter_findings if figures["sensor"] == "s1" else reflectance_findings
        # Of few patches that can be read, a whole list of names says nothing.
        findings += judge(figures["all"], expected_here, figures["patches"] - len(figures["rejected"]))
    labels = pl.read_parquet(index)
    whole = expected is not None and sum(expected.values()) == labels.height
    # Of patches with snow and clouds no counts are published apart.
    counts = [] if snow_and_clouds else [row for row in _rows(label_counts) if row["kind"] == kind]
    findings += _labels(labels, index, counts, whole)
    write_csv(output, Finding._fields, findings)
    title = f"What the archive {read_metadata(patches)['archive']} holds"
    summary = verdict(findings, kind)
    log.log(logging.WARNING if summary.startswith("Off") else logging.INFO, "%s", summary)
    write_text(page, _page(title, summary, findings))
    return findings


def verdict(findings: list[Finding], kind: str) -> str:
    """The whole in a sentence."""
    off = [finding for finding in findings if finding.verdict == OFF]
    if off:
        first = off[0]
        more = f" {len(off) - 1} more lines below are off." if len(off) > 1 else ""
        return f"Off: {first.what}: {first.found}, expected {first.expected}. {first.advice}{more}"
    if kind == "simulated":
        return "A simulated archive: its pixels are like those of BigEarthNet v1, and nothing else can be compared."
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
    absent = {row["patch_id"] for row in rows if row["reason"] == NO_S2}
    damaged = [row for row in rows if row["reason"] != NO_S2]
    for steps, what in ((["index"], "labels"), (["shard", "shard_s2"], "pixels")):
        count = len({row["patch_id"] for row in damaged if row["step"] in steps})
        advice = "rejected.csv names them and says why." if count else ""
        yield Finding(f"patches without readable {what}", f"{count:,}", "0", OFF if count else AS_PUBLISHED, advice)
    if "s2" in sensors:
        advice = "rejected.csv names them: fetch Sentinel-2 again, if it should be whole." if absent else ""
        word = FEWER if absent else AS_PUBLISHED
        yield Finding("patches without Sentinel-2", f"{len(absent):,}", "0", word, advice)


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


def _labels(table: pl.DataFrame, index: Path, expected: list[dict[str, str]], whole: bool) -> Iterator[Finding]:
    classes = read_metadata(index)["classes"]
    for row in expected:
        patches = table if row["split"] == "all" else table.filter(pl.col("split") == row["split"])
        labels = patches[f"labels_{row['label_set']}"]
        count = int(labels.list.contains(classes[row["label_set"]].index(row["class"])).sum())
        most = int(row["patches"])
        # Of v1 only the counts of all published patches are known, those in no split among them.
        bound = row["split"] == "all"
        word = (
            OFF if count > most or (whole and not bound and count < most) else AS_PUBLISHED if count == most else FEWER
        )
        word = WITHIN if bound and word == FEWER else word
        yield Finding(
            f"{row['class']}, {'all splits' if bound else row['split']}",
            f"{count:,}",
            f"at most {most:,}" if bound else f"{most:,}",
            word,
            "The labels are not the published ones." if word == OFF else "",
        )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


STYLE = """
body { font: 14px sans-serif; margin: 1.5em; } table { border-collapse: collapse; }
th, td { padding: .25em .6em; text-align: left; border-bottom: 1px solid #ddd; }
td:nth-child(2), td:nth-child(3) { text-align: right; }
td:nth-child(2), td:nth-child(3), td:nth-child(4) { white-space: nowrap; }
.off { background: #fbe3e0; } .fewer, .not { color: #666; }
"""


def _page(title: str, summary: str, findings: list[Finding]) -> str:
    def row(tag: str, cells: tuple[Any, ...]) -> str:
        return "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells)

    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = [f"<tr class={finding.verdict.split()[0]}>{row('td', finding)}</tr>" for finding in findings]
    lines = [f"<h1>{escape(title)}</h1>", f"<p><strong>{escape(summary)}</strong></p>", "<table>"]
    lines += [f"<tr>{row('th', Finding._fields)}</tr>", *body, "</table>"]
    return f"<!doctype html><html>{head}<body>" + "\n".join(lines) + "</body></html>\n"
