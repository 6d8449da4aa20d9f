import pytest
from earthprobe.ablations import expand
from earthprobe.config import feature_sets, resolve
from earthprobe.errors import UserError


def test_every_combination_is_a_feature_set_named_by_what_varies():
    vary = {"wavelengths": [[3.75, 3.75], [5.405, 5.405]], "image_size": [112, 224]}
    found, ablations = expand({"dofa": {"kind": "dofa", "vary": vary}, "plain": {"kind": "rcf", "vary": {}}})
    assert list(found) == [
        "dofa_wavelengths-3p75-3p75_image_size-112",
        "dofa_wavelengths-3p75-3p75_image_size-224",
        "dofa_wavelengths-5p405-5p405_image_size-112",
        "dofa_wavelengths-5p405-5p405_image_size-224",
        "plain",
    ]
    assert found["dofa_wavelengths-5p405-5p405_image_size-112"] == {
        "kind": "dofa",
        "wavelengths": [5.405, 5.405],
        "image_size": 112,
    }
    assert ablations.keys() == {"dofa"}
    assert ablations["dofa"].options == ["wavelengths", "image_size"]
    assert ablations["dofa"].features[list(found)[1]] == {"wavelengths": [3.75, 3.75], "image_size": 224}


def test_paths_and_odd_values_make_plain_names():
    found, _ = expand({"x": {"vary": {"weights": ["../a/Encoder.pt", "random:0"], "layer": [None, 3]}}})
    assert list(found) == [
        "x_weights-encoder-pt_layer-none",
        "x_weights-encoder-pt_layer-3",
        "x_weights-random-0_layer-none",
        "x_weights-random-0_layer-3",
    ]
    with pytest.raises(UserError, match="features.x.vary: two of its feature sets would be called x_weights-a-pt"):
        expand({"x": {"vary": {"weights": ["1/a.pt", "2/a.pt"]}}})


def config(vary: object) -> dict:
    return {
        "archive": {"name": "x", "kind": "simulated"},
        "features": {"rcf": {"kind": "rcf", "bands": ["VV", "VH"], "vary": vary}},
        "probes": {"linear": {"kind": "linear"}},
    }


def test_values_are_checked_as_if_each_were_written_out():
    resolved = resolve(config({"features": [64, 128], "store": ["float32", "int8"]}))
    features, ablations = feature_sets(resolved)
    assert len(features) == len(ablations["rcf"].features) == 4
    assert {entry["features"] for entry in features.values()} == {64, 128}
    assert resolve(resolved) == resolved, "what a run resolved to can be run again"
    for vary, message in (
        ({"features": [63]}, r"features\.rcf_features-63\.features: 63 is not a multiple of 2"),
        ({"featrues": [64]}, r"features\.rcf_featrues-64: unknown key `featrues`: did you mean `features`\?"),
        ({"features": []}, r"features\.rcf\.vary\.features: \[\] should be non-empty"),
        ({"features": 64}, r"features\.rcf\.vary\.features: 64 is not of type 'array'"),
    ):
        with pytest.raises(UserError, match=message):
            resolve(config(vary))
