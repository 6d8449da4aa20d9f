"""Tables that users bring: whatever a file holds, a named refusal or the right patch."""

import csv
import datetime
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pytest
from earthprobe.archives import check_table, table, table_labels
from earthprobe.archives.bands import bands_of_archive
from earthprobe.archives.read_table import columns_of, read_any
from earthprobe.config import resolve
from earthprobe.errors import UserError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import SHARED, needs

CONFIG: dict[str, Any] = {
    "archive": {"name": "own", "kind": "table", "bands": {"VV": "{id}/VV.tif", "VH": "{id}/VH.tif"}},
    "features": {"pixels": {"kind": "statistics", "bands": ["VV", "VH"]}},
    "probes": {"linear": {"kind": "linear"}},
}


def archive(path: Path, text: str | bytes = "id,labels,split\na,x,train\nb,x|y,val\nc,y,test\n", **more: Any) -> Any:
    """The configuration of an archive with this table, with all defaults."""
    path.mkdir(exist_ok=True)
    name = path / "t.csv"
    name.write_bytes(text if isinstance(text, bytes) else text.encode())
    given = {**CONFIG["archive"], "table": str(name), "root": str(path), **more}
    return resolve({**CONFIG, "archive": given})["archive"]


def test_a_table_is_read(tmp_path: Path):
    text = (
        "name;labels;split;scene;date;longitude;latitude;country;cloud\n"
        "a;forest|water;train;s1;2017-06-13T10:10:31;10.5;-50;Austria;0.1\n"
        "b; water ;validation;s1;;;;;\n"
        "c;x;;s2;2018-01-02;-180;90;Peru;1\n"
    )
    config = archive(tmp_path, text, columns={"id": "name", "group": "scene"})
    found = table.read(config)
    assert found["patch_id"].to_list() == ["a", "b", "c"]
    assert found["split"].to_list() == ["train", "val", None]
    assert found["group"].to_list() == ["s1", "s1", "s2"]
    assert found["date"].to_list() == [datetime.date(2017, 6, 13), None, datetime.date(2018, 1, 2)]
    assert found["longitude"].to_list() == [10.5, None, -180]
    assert found["country"].to_list() == ["Austria", None, "Peru"]
    assert found["cloud"].to_list() == ["0.1", "", "1"]
    assert table_labels.names_of(config) == {"a": ["forest", "water"], "b": ["water"], "c": ["x"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_spreadsheets_make_of_a_file(tmp_path: Path, encoding: str, separator: str, newline: str):
    lines = [["id", "labels", "split"], ["Märchen", '"Wald, hell|Moor"', "train"], ["b", "Moor", "test"]]
    text = newline.join(separator.join(line) for line in lines) + newline
    config = archive(tmp_path, text.encode(encoding))
    assert table.read(config)["patch_id"].to_list() == ["Märchen", "b"]
    assert table_labels.names_of(config)["Märchen"] == ["Wald, hell", "Moor"]


def test_a_parquet_table_has_lists_and_types(tmp_path: Path):
    path = tmp_path / "t.parquet"
    days = [datetime.date(2020, 1, 1)] * 2
    frame = pl.DataFrame({"id": [7, 8], "labels": [["x"], ["x", "y"]], "split": ["train", "test"], "date": days})
    frame.write_parquet(path)
    config = archive(tmp_path) | {"table": str(path)}
    found = table.read(config)
    assert found["patch_id"].to_list() == ["7", "8"]
    assert found["date"][0] == datetime.date(2020, 1, 1)
    assert table_labels.names_of(config) == {"7": ["x"], "8": ["x", "y"]}


@pytest.mark.parametrize("labels", [[0, 1], [[0], [0, 1]]])
def test_a_class_may_be_called_0(tmp_path: Path, labels: list[Any]):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"id": ["a", "b"], "labels": labels, "split": ["train", "test"]}).write_parquet(path)
    config = archive(tmp_path) | {"table": str(path)}
    assert table_labels.names_of(config) == {"a": ["0"], "b": ["0", "1"] if isinstance(labels[1], list) else ["1"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,labels,split\na,x,train\na,y,test\n", r"t.csv: rows 1 and 2 have one id, a: a patch is one row$"),
        ("id,labels,split\n,x,train\n", r"t.csv: row 1 has no id$"),
        ("id,labels,split\na,x,tarin\n", r"split: 'tarin' is not a split: expected train, val, test or nothing$"),
        ("id,labels,split,date\na,x,train,13.6.2017\n", r"row 1: date: '13.6.2017' is no date such as 2017-06-13$"),
        ("id,labels,split,latitude\na,x,train,91\n", r"row 1: latitude: '91' is not in degrees, from -90 to 90$"),
        ("id,labels,split,longitude\na,x,train,E\n", r"row 1: longitude: 'E' is not in degrees"),
        ("id,labels,split\n", "t.csv lists no patch$"),
        ("id,labels,split\na,x\n", "."),
    ],
)
def test_rows_that_cannot_be_are_named(tmp_path: Path, text: str, message: str):
    config = archive(tmp_path, text)
    if message == ".":  # a short row has nothing in its last columns
        assert table.read(config)["split"].to_list() == [None]
        return
    with pytest.raises(UserError, match=message) as error:
        table.read(config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("name,labels\na,x\n", {}, r"archive.columns.id: there is no column id: .*t.csv has the columns name, labels$"),
        ("id,label\na,x\n", {}, "archive.columns.labels: there is no column labels"),
        (
            "id,labels\na,x\n",
            {"columns": {"group": "scne"}},
            "archive.columns.group: there is no column scne: .* id, labels$",
        ),
        ("id,labels\na,x\n", {}, "archive.split.by: table needs the column split"),
        ("id,labels\na,x\n", {"split": {"by": "group"}}, "archive.split.by: group needs the column group"),
        (
            "id,labels\na,x\n",
            {"split": {"by": "hold_out", "column": "z", "test": ["x"]}},
            "hold_out needs the column z",
        ),
        (
            "id,labels,split\na,x,train\n",
            {"bands": {"VV": "{scene}/VV.tif", "VH": "{id}.tif"}},
            "archive.bands.VV: there is no column scene",
        ),
        (
            "id,labels,split,table_split\na,x,train,1\n",
            {},
            r"t.csv has the columns split and table_split: rename the second$",
        ),
        ("", {}, r"t.csv is empty: its first line must name the columns$"),
        (b"\xff\xfe\x00", {}, "."),
        (b"id,labels,split\n\xe9,x,train\n", {}, r"t.csv is not a text file in UTF-8: save it as CSV \(UTF-8\)$"),
    ],
)
def test_what_a_table_lacks_is_said_before_any_job(tmp_path: Path, text: Any, more: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message) as error:
        archive(tmp_path, text, **more)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "nowhere.csv"}, "archive.table: nowhere.csv does not exist: looked for /.+/nowhere.csv$"),
        ({"root": "nowhere"}, "archive.root: nowhere does not exist: looked for /.+/nowhere$"),
        ({"bands": {"VV": "{id", "VH": "x"}}, "archive.bands.VV: {id: "),
        ({"bands": {"VV": "{id.x}", "VH": "x"}}, r"archive.bands.VV: {id.x}: {id.x} is no column's name$"),
        ({"bands": {"VV": "../{id}", "VH": "x"}}, r"archive.bands.VV: ../{id} leads out of archive.root$"),
        ({"bands": {"VV": "/{id}", "VH": "x"}}, "leads out of archive.root$"),
        ({"bands": {"VV": {"path": "x", "bands": 3}, "VH": "x"}}, "archive.bands.VV: .*bands"),
        ({"bands": {"VV": "x", "VH": "x", "nir": "x"}}, "archive.units: nir is no band of Sentinel-1 or Sentinel-2"),
        ({"units": {"B02": "x"}}, "archive.units: B02 is none of the bands VV, VH$"),
        ({"fit": "crop"}, "archive.size: fit: crop needs it"),
        ({"split": {"by": "hold_out"}}, "archive.split.test: hold_out needs the values to test on$"),
        ({"split": {"by": "random", "shares": [0.6, 0.2, 0.3]}}, "shares: they add up to 1.1, not to 1$"),
        ({"split": {"by": "chance"}}, "archive.split.by: 'chance' is unknown: one of table, random, group, place"),
        ({"bands": {"VH": "{id}.tif"}}, "features.pixels.bands: 'VV' is unknown: one of VH$"),
        ({"bands": {1: "{id}.tif", "VV": "x"}}, "config: archive.bands: .*1"),
    ],
)
def test_what_cannot_be_is_said_before_any_job(tmp_path: Path, change: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message) as error:
        archive(tmp_path, **change)
    assert "\n" not in str(error.value)


def test_bands_of_ones_own_have_unit_and_wavelength(tmp_path: Path):
    nir = {"path": "{id}/all.tif", "band": 4, "wavelength": 0.85}
    bands = {"VV": "{id}/VV.tif", "VH": "{id}/VH.tif", "nir": nir, "B10": "{id}/B10.tif"}
    config = archive(tmp_path, bands=bands, units={"nir": "radiance", "B10": "reflectance x 10000", "VV": "amplitude"})
    found = bands_of_archive(config)
    assert (found["nir"].sensor, found["nir"].unit, found["nir"].wavelength) == ("other", "radiance", 0.85)
    assert (found["B10"].sensor, found["B10"].unit) == ("s2", "reflectance x 10,000")
    assert (found["VV"].unit, found["VH"].unit) == ("amplitude", "dB")


def test_a_model_made_for_another_unit_is_refused(tmp_path: Path):
    archive(tmp_path)
    given = {**CONFIG["archive"], "table": str(tmp_path / "t.csv"), "root": str(tmp_path), "units": {"VV": "amplitude"}}
    features = {"own": {"kind": str(tmp_path / "own.py"), "bands": ["VV"]}}
    (tmp_path / "own.py").write_text("def build(weights, inputs):\n    pass\n")
    (tmp_path / "own.yaml").write_text("unit: dB\n")
    with pytest.raises(UserError, match="features.own.bands: VV is in amplitude, but .* needs dB"):
        resolve({**CONFIG, "archive": given, "features": features})


def test_dofa_must_be_told_the_wavelength_of_a_band_of_ones_own(tmp_path: Path):
    archive(tmp_path)
    bands = {"nir": "{id}.tif"}
    given = {**CONFIG["archive"], "table": str(tmp_path / "t.csv"), "root": str(tmp_path), "bands": bands}
    given["units"] = {"nir": "x"}
    dofa = {"kind": "dofa", "model": "dofa_base_patch16_224", "weights": "random:0", "bands": ["nir"]}
    with pytest.raises(UserError, match="features.d.wavelengths: dofa .* must be told the wavelength of nir"):
        resolve({**CONFIG, "archive": given, "features": {"d": dofa}})


# Labels -------------------------------------------------------------------------------------------------------------


def labelled(tmp_path: Path, text: str, **more: Any) -> table_labels.Labelled:
    config = archive(tmp_path, text, **more)
    return table_labels.labelled(table.read(config), config)


TEXT = "id,labels,split\na,y|x,train\nb,x,val\nc,,test\nd,x|z,test\n"


def test_classes_come_from_the_table_in_its_order_or_sorted(tmp_path: Path):
    sets, results, left_out = labelled(tmp_path, TEXT)
    assert list(sets["labels"].classes) == ["x", "y", "z"]
    assert results == [{"labels": [0, 1]}, {"labels": [0]}, "no label in the table", {"labels": [0, 2]}]
    assert left_out == {}
    assert list(labelled(tmp_path, TEXT, classes="table").sets["labels"].classes) == ["y", "x", "z"]
    listed = labelled(tmp_path, TEXT, classes=["z", "y", "x", "w"])
    assert list(listed.sets["labels"].classes) == ["z", "y", "x"]
    assert listed.left_out == {"labels": {"w": 0}}
    with pytest.raises(UserError, match="archive.classes: .*t.csv has 'z', which is not listed$"):
        labelled(tmp_path, TEXT, classes=["x", "y"])


def test_classes_of_few_patches_are_left_out_and_named(tmp_path: Path):
    text = TEXT + "e,y,train\n"
    sets, results, left_out = labelled(tmp_path, text, min_positives=2)
    assert list(sets["labels"].classes) == ["x", "y"]
    assert results[3] == {"labels": [0]}
    assert left_out == {"labels": {"z": 1}}
    with pytest.raises(UserError, match="1 classes have at least 3 patches, of 3: lower archive.min_positives$"):
        labelled(tmp_path, text, min_positives=3)


def test_a_patch_of_a_single_task_has_one_class(tmp_path: Path):
    sets, results, _ = labelled(tmp_path, TEXT + "e,z,train\nf,z,train\n", task="single", min_positives=2)
    assert sets["labels"].task == "single"
    assert results[0] == "has 2 labels, and task: single takes one: y, x"
    assert results[1] == {"labels": [0]}
    text = "id,labels,split\na,x,train\nb,x,val\nc,w,test\nd,v,test\ne,v,val\n"
    alone = labelled(tmp_path, text, task="single", min_positives=2)
    assert alone.results[2] == "its class w has fewer patches than min_positives"


def test_the_real_table_has_17_of_19_classes(tmp_path: Path):
    path = needs(SHARED / "real-patches/patches.csv")
    config = archive(tmp_path, split={"by": "folds"}) | {"table": str(path)}
    config["columns"] = config["columns"] | {"group": "scene"}
    sets, results, _ = table_labels.labelled(table.read(config), config)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = {row["id"]: row["labels"].split("|") for row in csv.DictReader(stream)}
    assert len(sets["labels"].classes) == 17
    found = table.read(config)
    assert (found.height, found["group"].n_unique()) == (186, 82)
    assert found["date"].null_count() == 0
    placed, places_from, _ = table.located(found, list)
    assert places_from == "table" if "longitude" in rows[found["patch_id"][0]] else "names"
    assert placed["longitude"].null_count() == placed["country"].null_count() == 0
    for patch_id, result in zip(found["patch_id"], results, strict=True):
        assert isinstance(result, dict)
        assert [sets["labels"].classes[i] for i in result["labels"]] == sorted(rows[patch_id])


# Any text -----------------------------------------------------------------------------------------------------------

T = TypeVar("T")


def attempt(read: Callable[[], T]) -> tuple[T | None, str]:
    """What is read, or the reason why not."""
    try:
        return read(), ""
    except UserError as error:
        return None, str(error)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(CELLS, CELLS, st.sampled_from(["train", "val", "test", "", "x"])), max_size=6))
def test_whatever_a_csv_holds_is_a_named_refusal_or_the_right_patch(tmp_path: Path, rows: list[tuple[str, ...]]):
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([("id", "labels", "split"), *rows])
    config = archive(tmp_path) | {"table": str(tmp_path / "r.csv")}
    (tmp_path / "r.csv").write_text(stream.getvalue(), encoding="utf-8", newline="")
    both, reason = attempt(lambda: (table.read(config), table_labels.names_of(config)))
    if both is None:
        assert "r.csv" in reason
        assert "\n" not in reason
        return
    found, names = both
    rows = [row for row in rows if any(cell.strip() for cell in row)]  # a line of nothing is no patch
    ids = [row[0].strip() for row in rows]
    assert found["patch_id"].to_list() == ids
    assert found["split"].to_list() == [row[2] or None for row in rows]
    for patch_id, labels, _ in rows:
        assert names[patch_id.strip()] == list(dict.fromkeys(filter(None, map(str.strip, labels.split("|")))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_named_refusal_or_a_table(tmp_path: Path, content: bytes):
    path = tmp_path / "any.csv"
    path.write_bytes(content)
    both, reason = attempt(lambda: (columns_of(path), read_any(path)))
    if both is None:
        assert "any.csv" in reason
        assert "\n" not in reason
    else:
        assert both[0] == both[1].columns


def test_a_large_table_is_not_read_before_any_job(tmp_path: Path):
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.write(b"id,labels,split\n")
        file.truncate(2**36)  # sparse
    assert columns_of(path) == ["id", "labels", "split"]
    assert json.dumps(check_table.NEEDED)
