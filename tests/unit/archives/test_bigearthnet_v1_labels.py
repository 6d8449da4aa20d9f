"""Whatever bytes arrive: labels or a named reason, never a crash."""

import json
from pathlib import Path

import pytest
from earthprobe.archives.bigearthnet import CLASSES_43
from earthprobe.archives.bigearthnet_v1_labels import LABEL_SETS, parse_labels, relative_orbit
from earthprobe.archives.interface import Labels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

relaxed = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def attempt(content: bytes) -> tuple[Labels | None, str]:
    """The labels, or the reason why there are none."""
    try:
        return parse_labels(content), ""
    except ValueError as error:
        return None, str(error)


names = st.one_of(st.sampled_from(CLASSES_43), st.text(max_size=20), st.none(), st.integers())
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


@relaxed
@given(st.one_of(st.binary(max_size=200), st.builds(lambda v: json.dumps(v).encode(), values)))
def test_any_label_file_is_labels_or_a_reason(content: bytes):
    found, reason = attempt(content)
    if found is None:
        assert reason.startswith(("labels file", "unknown class"))
        return
    assert found.keys() == LABEL_SETS.keys()
    labels_43, labels_19 = found["43"], found["19"]
    assert labels_43 == sorted(set(labels_43))
    assert set(labels_43) <= set(range(43))
    assert set(labels_19) <= set(range(19))


@relaxed
@given(st.lists(names, max_size=8))
def test_labels_are_those_of_the_file_or_a_reason(labels: list[object]):
    content = json.dumps({"labels": labels, "projection": "x"}).encode()
    if all(label in CLASSES_43 for label in labels):
        assert {CLASSES_43[label] for label in parse_labels(content)["43"]} == set(labels)
    else:
        with pytest.raises(ValueError, match="labels file has no list|unknown class"):
            parse_labels(content)


def test_deep_json_is_a_reason():
    with pytest.raises(ValueError, match="labels file is not valid JSON"):
        parse_labels(b"[" * 100_000)


def test_the_place_in_a_file_is_that_of_the_patchs_name(v1_patches: list[Path]):
    seen = 0
    for folder in v1_patches:
        content = (folder / f"{folder.name}_labels_metadata.json").read_bytes()
        said = json.loads(content)
        if "coordinates" not in said:
            continue
        parse_labels(content, folder.name)
        said["coordinates"]["ulx"] += 60
        with pytest.raises(ValueError, match=r"^labels file has the corner \d+, \d+, and its name that of \d+, \d+$"):
            parse_labels(json.dumps(said).encode(), folder.name)
        seen += 1
    assert seen >= 9


@pytest.mark.parametrize("coordinates", [None, [], {}, {"ulx": "x", "uly": 1}, {"ulx": 1}])
def test_a_place_that_is_none_is_passed_over(coordinates: object):
    content = json.dumps({"labels": ["Pastures"], "coordinates": coordinates}).encode()
    assert parse_labels(content, "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39")["43"] == [17]
    assert parse_labels(content, "no place") == parse_labels(content)


@pytest.mark.parametrize(
    ("scene", "track"),
    [
        ("S1A_IW_GRDH_1SDV_20170613T165043_20170613T165108_017018_01C579_7EEC", 146),
        ("S1B_IW_GRDH_1SDV_20170604T165002_20170604T165027_005900_00A58B_1234", 99),
        ("S1A_IW_GRDH_1SDV_20140403T000000_20140403T000001_000073_000000_0000", 1),
        ("S1B_IW_GRDH_1SDV_20160425T000000_20160425T000001_000026_000000_0000", 175),
        ("S2A_MSIL2A_20170613T101031", None),
        (None, None),
    ],
)
def test_the_track_of_a_scene(scene: str | None, track: int | None):
    assert relative_orbit(scene) == track


def test_real_files_say_their_track(v1_sample: Path):
    tracks = []
    for path in sorted(v1_sample.glob("BigEarthNet-S1-v1.0/*/*_labels_metadata.json")):
        scene = json.loads(path.read_text()).get("scene_source")
        tracks.append(parse_labels(path.read_bytes()).relative_orbit)
        assert (tracks[-1] is None) == (scene is None)
    assert len([track for track in tracks if track]) == 9
    assert all(1 <= track <= 175 for track in tracks if track)
