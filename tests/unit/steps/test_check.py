import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from earthprobe import registry
from earthprobe.archives.interface import SPLITS, absent
from earthprobe.sensors import BANDS, bands_of
from earthprobe.steps import check, index, index_members, index_patches, rejected, shard, shard_statistics
from earthprobe.steps.check import Finding, backscatter_findings, reflectance_findings, verdict
from earthprobe.storage.files import read_csv, write_csv
from earthprobe.storage.parquet import with_metadata

from tests.archives import pack
from tests.conftest import SHARED, TinyArchive, needs, read_band

METADATA = "metadata.parquet"
SNOW_AND_CLOUDS = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
PUBLISHED = {kind: registry.kind("archives", kind).facts["published"] for kind in ("bigearthnet-v1", "reben")}
V1 = {band: PUBLISHED["bigearthnet-v1"]["statistics"][band] for band in bands_of("s1")}
V1_OPTICAL = {band: PUBLISHED["bigearthnet-v1"]["statistics"][band] for band in bands_of("s2")}


def checked(kind: str, s1: Path, lists: list[Path], out: Path, s2: Path | None = None) -> dict[str, Finding]:
    """An archive's findings, by what was looked at."""
    patches = out / "patches.parquet"
    index_patches.run(
        kind=kind,
        files=[s1],
        lists=lists,
        shards=1,
        archive="x",
        output=patches,
        mismatches=out / "mismatches.csv",
    )
    labels = lists if kind == "reben" else [s1]
    index.run(kind=kind, patches=patches, labels=labels, max_rejected=1, output=out / "index.parquet")
    sources = {"s1": s1} | ({"s2": s2} if s2 else {})
    for sensor, source in sources.items():
        shard.run(patches=patches, sensor=sensor, source=[source], shard=0, output=out / f"{sensor}.parquet")
        shard_statistics.run(
            patches=patches,
            shards=[out / f"{sensor}.parquet"],
            max_rejected=1,
            output=out / f"{sensor}.json",
            rejected=out / f"rejected/{sensor}.csv",
        )
    pixels = [out / f"rejected/{sensor}.csv" for sensor in sources]
    rejected.run(index=out / "index.parquet", pixels=pixels, output=out / "rejected.csv")
    findings = run(kind, out)
    assert verdict(findings, simulated=False) in (out / "check.html").read_text()
    return {finding.what: finding for finding in findings}


def run(kind: str, out: Path, snow_and_clouds: bool = False) -> list[Finding]:
    """What is found in a folder of results."""
    check.run(
        kind=kind,
        snow_and_clouds=snow_and_clouds,
        patches=out / "patches.parquet",
        index=out / "index.parquet",
        statistics=sorted(out.glob("s?.json")),
        rejected=out / "rejected.csv",
        csv=out / "check.csv",
        html=out / "check.html",
    )
    return [Finding(**row) for row in read_csv(out / "check.csv")]


def test_the_sample_of_v1_is_a_part_of_it(v1_sample: Path, tmp_path: Path):
    lists = [v1_sample / f"bigearthnet-{split}.csv" for split in SPLITS]
    found = checked("bigearthnet-v1", v1_sample / "BigEarthNet-S1-v1.0", lists, tmp_path)
    assert found["patches of train"][1:4] == ("69", "269,695", "fewer")
    assert found["patches without readable pixels"][1:4] == ("0", "0", "as published")
    assert {f.verdict for f in found.values()} <= {"fewer", "within", "as published", "not judged"}
    assert verdict(list(found.values()), simulated=False).startswith("A part of the published archive; nothing")
    pixels = np.stack([read_band(path) for path in sorted((v1_sample / "BigEarthNet-S1-v1.0").glob("*/*_VV.tif"))])
    wide = pixels.astype(np.float64)
    assert found["pixels of VV"].found == f"{wide.mean():.2f} ± {wide.std():.2f} dB"


def test_the_sample_of_reben_is_a_part_of_it(tmp_path: Path):
    root = needs(SHARED / "reben-sample")
    found = checked("reben", root / "BigEarthNet-S1", [root / METADATA], tmp_path)
    assert found["patches of test"][1:4] == ("41", "119,825", "fewer")
    official = pl.read_parquet(root / METADATA).filter(pl.col("split") == "test")["labels"].explode()
    for name in ("Urban fabric", "Mixed forest", "Marine waters"):
        assert found[f"{name}, test"].found == str((official == name).sum())
    assert {f.verdict for f in found.values()} <= {"fewer", "as published", "not judged"}


def test_what_is_wrong_with_patches_is_counted(twelve: TinyArchive, tmp_path: Path):
    leaking, broken, unread = twelve.splits["test"][0], *twelve.splits["train"][:2]
    twelve.splits["val"].append(leaking)
    twelve.splits["train"].append("S1A_absent")
    (twelve.s1_folder / broken / f"{broken}_VV.tif").write_bytes(b"")
    (twelve.s1_folder / unread / f"{unread}_labels_metadata.json").write_text("{")
    found = checked("bigearthnet-v1", twelve.s1_folder, list(twelve.split_files().values()), tmp_path)
    assert found["patches in two splits: left out"][1:4] == ("2", "0", "off")
    assert found["patches not on disk"][1:4] == ("1", "0", "fewer")
    assert found["patches without readable pixels"][1:4] == ("1", "0", "off")
    assert found["patches without readable labels"][1:4] == ("1", "0", "off")
    assert verdict(list(found.values()), simulated=False).startswith(
        "Off: patches in two splits: left out: 2, expected 0."
    )


def test_all_patches_that_are_not_on_disk_are_counted(twelve: TinyArchive, tmp_path: Path):
    """Also those that are not listed, and those that are there twice."""
    twelve.splits["train"] += [f"S1A_{number}" for number in range(150)]
    lists = list(twelve.split_files().values())
    members = []
    for number in range(2):
        path = pack(twelve.s1_folder, tmp_path / f"{number}.tar")
        members.append(tmp_path / f"{number}.members")
        index_members.run(tar=[path], folder=twelve.s1_folder.name, output=members[-1])
    found = checked("bigearthnet-v1", members[0], lists, tmp_path)
    assert found["patches not on disk"][1:4] == ("150", "0", "fewer")
    assert found["patches found twice"][1:4] == ("0", "0", "as published")
    index_patches.run(
        kind="bigearthnet-v1",
        files=members,
        lists=lists,
        shards=1,
        archive="x",
        output=tmp_path / "patches.parquet",
        mismatches=tmp_path / "mismatches.csv",
    )
    again = {finding.what: finding for finding in run("bigearthnet-v1", tmp_path)}
    assert again["patches not on disk"] == found["patches not on disk"]
    assert again["patches found twice"][1:4] == ("12", "0", "off")
    twice = [row for row in read_csv(tmp_path / "mismatches.csv") if row["problem"].startswith("found twice: ")]
    assert len(twice) == 12


def test_odd_values_are_off_however_few_patches_there_are(twelve: TinyArchive, tmp_path: Path):
    folder = twelve.add_optical()
    filled, zero, full = twelve.splits["train"][:3]
    lists = list(twelve.split_files().values())
    found = checked("bigearthnet-v1", twelve.s1_folder, lists, tmp_path, folder)
    for name in ("Sentinel-1", "Sentinel-2"):
        assert found[f"patches with odd values of {name}"][1:] == ("0", "0", "as published", "")
    path = twelve.s1_folder / filled / f"{filled}_VV.tif"
    pixels = read_band(path).copy()
    pixels[:4] = -9999
    tifffile.imwrite(path, pixels)
    for patch_id, value in ((zero, 0), (full, 65535)):
        name = twelve.s2_name(patch_id)
        tifffile.imwrite(folder / name / f"{name}_B01.tif", np.full((20, 20), value, np.uint16))
    found = checked("bigearthnet-v1", twelve.s1_folder, lists, tmp_path, folder)
    radar, optical = (found[f"patches with odd values of {name}"] for name in ("Sentinel-1", "Sentinel-2"))
    assert (radar[1:4], optical[1:4]) == (("1", "0", "off"), ("2", "0", "off"))
    largest = f"{pixels.max():g}"
    assert (
        radar.advice
        == f"The first is {filled}: it has VV from -9999 to {largest}, which no sensor gives. Are these dB?"
    )
    assert optical.advice == f"The first is {zero}: it has only zeros in B01. Are these reflectance x 10,000?"
    assert found["pixels of VV"].advice.endswith(" The odd values above may be why.")
    assert verdict(list(found.values()), simulated=False).startswith(
        "Off: patches with odd values of Sentinel-1: 1, expected 0. The first is "
    )


def test_amplitudes_are_off_however_few_patches_there_are(tiny: TinyArchive, tmp_path: Path):
    rng = np.random.default_rng(0)
    for split in ("train",) * 6 + ("val",) * 3 + ("test",) * 3:
        vv, vh = (rng.normal(mean, 10, (120, 120)).astype(np.float32) for mean in (200, 90))
        tiny.add(split, vv=vv, vh=vh)
    found = checked("bigearthnet-v1", tiny.s1_folder, list(tiny.split_files().values()), tmp_path)
    assert found["patches with odd values of Sentinel-1"][1:4] == ("12", "0", "off")
    assert found["pixels of VV"].verdict == "off"
    assert found["pixels of VV"].advice.startswith("These are amplitudes or digital numbers, not dB.")


def test_a_simulated_archive_shares_its_pixels_alone(twelve: TinyArchive, tmp_path: Path):
    checked("bigearthnet-v1", twelve.s1_folder, list(twelve.split_files().values()), tmp_path)
    found = {finding.what: finding for finding in run("simulated", tmp_path)}
    assert found["patches of train"][1:4] == ("6", "", "not judged")
    assert found["patches in no split"][1:4] == ("0", "", "not judged")
    assert found["pixels of VV"].expected == "-12.62 ± 5.12 dB"
    assert not any(what.startswith("Pastures") for what in found)
    assert verdict(list(found.values()), simulated=True).startswith("A simulated archive: ")
    assert verdict(list(found.values()), simulated=True) in (tmp_path / "check.html").read_text()


def stats(vv: tuple[float, float], vh: tuple[float, float]) -> dict[str, dict[str, float]]:
    return {band: {"mean": mean, "std": std} for band, (mean, std) in (("VV", vv), ("VH", vh))}


@pytest.mark.parametrize(
    ("found", "patches", "word", "advice"),
    [
        (stats(*V1.values()), 519_284, "as published", ""),
        (stats((-13.5, 4.2), (-18.4, 6.3)), 519_284, "as published", ""),
        (stats(V1["VH"], V1["VV"]), 519_284, "off", "the bands are swapped"),
        (stats((0.11, 0.3), (0.02, 0.05)), 519_284, "off", "linear power, not dB"),
        (stats((166.4, 64.8), (88.5, 43.1)), 519_284, "off", "amplitudes or digital numbers"),
        (stats((-12.6, 3.0), (-19.3, 3.0)), 519_284, "off", "another calibration, or filtered speckle"),
        (stats((-9.0, 4.0), (-16.0, 4.0)), 519_284, "off", "another calibration"),
        (stats((-9.0, 4.0), (-16.0, 4.0)), 129, "not judged", "129 patches are too few to tell"),
        (stats((0.11, 0.3), (0.02, 0.05)), 129, "off", "linear power, not dB"),
    ],
)
def test_bands_have_a_clear_verdict(found: dict[str, dict[str, float]], patches: int, word: str, advice: str):
    findings = list(backscatter_findings(found, V1, patches))
    assert [finding.what for finding in findings] == ["pixels of VV", "pixels of VH"]
    for finding in findings:
        assert finding.verdict == word
        assert advice in finding.advice


def reflectance(change: float = 0.0) -> dict[str, dict[str, float]]:
    return {band: {"mean": mean + change, "std": std} for band, (mean, std) in V1_OPTICAL.items()}


@pytest.mark.parametrize(
    ("found", "patches", "word", "advice"),
    [
        (reflectance(), 519_284, "as published", ""),
        (reflectance(100), 519_284, "as published", ""),
        (reflectance(1000), 519_284, "off", "subtract the offset of baseline 04.00"),
        (reflectance(5000), 519_284, "off", "Other scenes, clouds, or another processing"),
        (reflectance(1000), 129, "not judged", "129 patches are too few to tell"),
    ],
)
def test_reflectances_have_a_clear_verdict(found: dict[str, dict[str, float]], patches: int, word: str, advice: str):
    findings = list(reflectance_findings(found, V1_OPTICAL, patches))
    assert [finding.what for finding in findings] == [f"pixels of {band}" for band in bands_of("s2")]
    for finding in findings:
        assert finding.verdict == word
        assert advice in finding.advice


def test_an_offset_is_seen_by_most_bands():
    """Also where water or snow moves some of them further or less."""
    found = reflectance(1000) | {
        "B01": {"mean": 340.8 + 500, "std": 554.8},
        "B09": {"mean": 2246.1 + 2500, "std": 1302},
    }
    findings = list(reflectance_findings(found, V1_OPTICAL, 519_284))
    assert all("subtract the offset" in finding.advice for finding in findings)
    found["B01"] = reflectance()["B01"]  # an offset spares no band
    findings = list(reflectance_findings(found, V1_OPTICAL, 519_284))
    assert not any("subtract the offset" in finding.advice for finding in findings)
    assert [finding.verdict for finding in findings] == ["as published"] + ["off"] * 11


def test_a_deviation_that_is_off_is_off():
    found = reflectance() | {"B08": {"mean": 2218.9, "std": 700.0}}
    words = {finding.what: finding.verdict for finding in reflectance_findings(found, V1_OPTICAL, 519_284)}
    assert [what for what, word in words.items() if word == "off"] == ["pixels of B08"]


def test_published_reflectance_of_both_archives_agrees():
    """They are the same scenes, processed anew; and a table of figures is easily mistyped."""
    v1, reben = (PUBLISHED[kind]["statistics"] for kind in ("bigearthnet-v1", "reben"))
    assert list(reben) == list(v1) == list(BANDS)
    for band in bands_of("s2"):
        for ours, theirs in zip(reben[band], v1[band], strict=True):
            assert ours == pytest.approx(theirs, rel=0.07)


def test_one_band_that_is_another_is_off_alone():
    found = reflectance() | {"B02": reflectance()["B08"]}
    words = {finding.what: finding.verdict for finding in reflectance_findings(found, V1_OPTICAL, 519_284)}
    assert [what for what, word in words.items() if word == "off"] == ["pixels of B02"]


def test_linear_values_are_seen_on_their_way(tiny: TinyArchive, tmp_path: Path):
    rng = np.random.default_rng(0)
    for split in (*SPLITS, "train"):
        bright = rng.gamma(4, 0.03, (120, 120)).astype(np.float32)
        tiny.add(split, vv=bright, vh=bright / 5)
    found = checked("bigearthnet-v1", tiny.s1_folder, list(tiny.split_files().values()), tmp_path)
    assert found["pixels of VV"].verdict == found["pixels of VH"].verdict == "off"
    assert "This is linear power, not dB: take 10 * log10 of it." in (tmp_path / "check.html").read_text()


def test_published_counts_are_those_of_the_official_lists():
    folder = needs(SHARED / "reben-metadata")
    tables = {name: pl.read_parquet(folder / name) for name in (METADATA, SNOW_AND_CLOUDS)}
    names = {"train": "train", "validation": "val", "test": "test"}
    clean = {names[s]: n for s, n in tables[METADATA]["split"].value_counts().rows()}
    more = {names[s]: n for s, n in tables[SNOW_AND_CLOUDS]["split"].value_counts().rows()}
    reben = PUBLISHED["reben"]
    assert reben["patches"] == clean
    assert reben["in_no_split"] == sum(more.values())
    assert reben["snow_and_clouds"]["patches"] == {split: clean[split] + more[split] for split in SPLITS}
    official = tables[METADATA].explode("labels").group_by("split", "labels").len()
    counted = {(names[split], label): count for split, label, count in official.rows()}
    (counts,) = reben["label_counts"].values()
    ours = {(split, label): count for split, of_split in counts.items() for label, count in of_split.items()}
    assert ours == counted
    assert len(ours) == 3 * 19


def test_a_whole_archive_must_have_all_labels(tmp_path: Path):
    """reBEN's own table, of which one label in 480,038 patches was changed."""
    folder = needs(SHARED / "reben-metadata")
    table = pl.read_parquet(folder / METADATA)
    splits = {"train": "train", "validation": "val", "test": "test"}
    patches = table.select(patch_id="s1_name", split=pl.col("split").replace_strict(splits))
    classes = {"19": sorted(set(table["labels"].explode()))}
    labels = [[classes["19"].index(name) for name in names] for names in table["labels"].to_list()]
    wrong = next(row for row, (split, names) in enumerate(table.select("split", "labels").rows()) if split == "train")
    removed = classes["19"][labels[wrong][0]]
    for number, content in enumerate((labels, [*labels[:wrong], labels[wrong][1:], *labels[wrong + 1 :]])):
        found = check_tables(patches, content, classes, tmp_path / str(number))
        off = {finding.what for finding in found if finding.verdict == "off"}
        assert off == ({f"{removed}, train"} if number else set())
        assert verdict(found, simulated=False).startswith("Off: " if number else "As published.")


def test_with_snow_and_clouds_all_is_as_published(tmp_path: Path):
    folder = needs(SHARED / "reben-metadata")
    table = pl.concat(pl.read_parquet(folder / name) for name in (METADATA, SNOW_AND_CLOUDS))
    splits = {"train": "train", "validation": "val", "test": "test"}
    patches = table.select(patch_id="s1_name", split=pl.col("split").replace_strict(splits))
    found = check_tables(patches, [[0]] * table.height, {"19": ["x"]}, tmp_path / "snow", True, 0)
    assert verdict(found, simulated=False) == "As published."


def test_how_far_test_lies_from_train(tmp_path: Path):
    def finding(cells: list[float | None]) -> Finding | None:
        count = len(cells)
        table = pl.DataFrame({"split": ["test"] * count, "cells_to_train": pl.Series(cells, dtype=pl.Float32)})
        return next(iter(check._distances(table)), None)

    near = finding([1.0, 1.4, 1.0, 7.0])
    assert near is not None
    assert (near.found, near.verdict) == ("1 to 7 cells, median 1.4", "leaks")
    assert near.advice.startswith("3 of 4 test patches touch a train patch; a score may be neighbourhood")
    far = finding([10.0, 12.0, None])
    assert far is not None
    assert (far.verdict, far.advice) == ("not judged", "0 of 2 test patches touch a train patch")
    assert finding([None]) is None


def check_tables(
    patches: pl.DataFrame,
    labels: list[list[int]],
    classes: dict[str, list[str]],
    out: Path,
    snow_and_clouds: bool = False,
    in_no_split: int = 69_450,
) -> list[Finding]:
    out.mkdir()
    schema = patches.to_arrow().schema
    metadata = {"archive": "reben", "mismatches": {"in no split": in_no_split}}
    pq.write_table(patches.to_arrow().cast(with_metadata(schema, metadata)), out / "patches.parquet")
    column = pa.array(labels, pa.list_(pa.uint8()))  # polars takes a Python list a hundred times as long
    nowhere = pl.lit(None, pl.Float32).alias("cells_to_train")
    index = patches.with_columns(nowhere, labels_19=pl.Series(column)).to_arrow()
    said = {"classes": classes, "tasks": {"19": "multilabel"}}
    pq.write_table(index.cast(with_metadata(index.schema, said)), out / "index.parquet")
    write_csv(out / "rejected.csv", ("patch_id", "split", "step", "reason"), [])
    figures = {band: {"mean": mean, "std": std} for band, (mean, std) in PUBLISHED["reben"]["statistics"].items()}
    bands = {name: {"size": b.size, "unit": b.unit, "wavelength": b.wavelength} for name, b in BANDS.items()}
    content = {"sensor": "s1", "bands": {name: bands[name] for name in bands_of("s1")}, "all": figures}
    (out / "s1.json").write_text(json.dumps({**content, "patches": patches.height, "rejected": 0, "odd": []}))
    return run("reben", out, snow_and_clouds)


def test_rejected_patches_of_any_sensor_are_counted():
    rows = [
        {"patch_id": name, "step": step, "reason": reason}
        for name, step, reason in (
            ("a", "shard cam", "x.tif is missing"),
            ("b", "shard cam", absent("cam")),
            ("c", "index", "no label in the table"),
        )
    ]
    found = {finding.what: finding.found for finding in check._rejected(rows, {"cam"})}
    assert found == {"patches without readable labels": "1", "patches without readable pixels": "1"}
