import copy
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from earthprobe import registry
from earthprobe.archives.find import lists, patch_files
from earthprobe.config import entry_of, feature_sets, resolve, schema, sensors_of
from earthprobe.errors import UserError
from earthprobe.sensors import BANDS

from tests.conftest import REPOSITORY, SHARED, TinyArchive, needs
from tests.unit.archives.test_find import kind

SHIPPED: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
STUDY = {
    "model": "dofa_base_patch16_224",
    "weights": "random:0",
    "bands": ["VV", "VH"],
    "wavelengths": [3.75, 3.75],
    "image_size": 224,
}
DEMO = SHIPPED | {"features": {"dofa_base": STUDY}}
"""The demo with the feature set of the reference study alone."""


def test_the_demo_is_valid_and_defaults_are_filled_in():
    resolved = resolve(SHIPPED)
    assert resolved["archive"] == {
        "name": "simulated",
        "kind": "simulated",
        "patches": 1500,
        "seed": 0,
        "shards": 2,
        "max_rejected": 0.02,
    }
    assert list(resolved["features"]) == ["statistics", "dofa_base"]
    assert resolved["features"]["statistics"]["bands"] == resolved["features"]["dofa_base"]["bands"]
    assert list(sensors_of(resolved["features"], BANDS)) == ["s1", "s2"]
    assert resolved["probes"]["mlp"]["learning_rate"] == 0.001
    assert resolved["threshold"] == 0.5
    assert resolve(resolved) == resolved


def test_the_demo_takes_a_trained_model_beside_it():
    more = yaml.safe_load((REPOSITORY / "config/demo-galileo.yaml").read_text())
    resolved = resolve(SHIPPED | {"features": SHIPPED["features"] | more["features"]})
    assert resolved["features"]["galileo_nano"]["weights"] == "published"
    assert resolved["features"]["galileo_nano"]["bands"] == resolved["features"]["dofa_base"]["bands"]


def test_whole_floats_are_integers():
    config = copy.deepcopy(DEMO)
    config["archive"]["shards"] = 4.0
    config["probes"]["mlp"]["hidden"] = [512.0]
    config["label_sets"] = [19.0, "43"]
    resolved = resolve(config)
    assert repr(resolved["archive"]["shards"]) == "4"
    assert repr(resolved["probes"]["mlp"]["hidden"]) == "[512]"
    assert resolved["label_sets"] == ["19", "43"]


def test_the_order_of_keys_does_not_matter():
    def backwards(value: Any) -> Any:
        return {k: backwards(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value

    turned = backwards(DEMO)
    turned["features"] = backwards(turned["features"])
    assert str(resolve(turned)["archive"]) == str(resolve(DEMO)["archive"])


def test_the_input_is_not_changed():
    before = copy.deepcopy(DEMO)
    resolve(DEMO)
    assert before == DEMO


BAD = [
    ("archive.kind", "zenodo", r"archive.kind: 'zenodo' is unknown: one of bigearthnet-v1, reben, simulated"),
    ("archive.patchs", 3, "archive: unknown key `patchs`: did you mean `patches`"),
    ("archive.patches", "many", r"archive.patches: 'many' is not of type 'integer'"),
    ("archive.patches", 3, r"archive.patches: 3 is less than the minimum of 12"),
    ("archive.name", "a/b", r"archive.name: 'a/b' is not a valid name"),
    ("archive", None, "archive lacks `kind`"),
    ("labels", 19, "top level: unknown key `labels`: did you mean `label_sets`"),
    ("label_sets", [20], r"label_sets: 20 is unknown: an archive of kind simulated has 19, 43"),
    ("label_sets", [], r"label_sets: \[\] should be non-empty"),
    ("features", {}, "features: is empty"),
    ("features.dofa_base.model", "dofa", "features.dofa_base.model: 'dofa' is unknown: one of dofa_base"),
    ("features.dofa_base.bands", ["VV", "B4"], "features.dofa_base.bands: 'B4' is unknown: one of VV, VH, B01, B02"),
    (
        "features.dofa_base.kind",
        "dofaa",
        "features.dofa_base.kind: 'dofaa' is unknown: one of callable, dofa, file, galileo, location, rcf, statistics",
    ),
    ("features.dofa_base.kind", "x.py", "features.dofa_base.kind: x.py does not exist"),
    ("features.dofa_base.bands", ["VV"], "wavelengths: give one for each band, in their order: 2 given for VV$"),
    (
        "features.dofa_base.wavelengths",
        [3.75],
        "wavelengths: give one for each band, in their order: 1 given for VV, VH$",
    ),
    ("features.dofa_base.weights", "DOFA_MEA", "'DOFA_MEA' is neither DOFA_MAE, nor random:<seed>, nor a file"),
    ("features.dofa_base.weights", "/nowhere/x.pth", "nor a file"),
    ("features.dofa_base.image_size", 250, "pieces of 16 pixels, of which 250 is no multiple: set image_size to 256$"),
    ("probes.mlp.hiden", [3], "probes.mlp: unknown key `hiden`: did you mean `hidden`"),
    (
        "probes.mlp.kind",
        "svm",
        "probes.mlp.kind: 'svm' is unknown: one of binned_forest, extra_trees, knn, linear, linear_sgd, mlp,"
        " random_forest",
    ),
    ("probes.random_forest.n_estimators", 0, "probes.random_forest.n_estimators: 0 is less than the minimum of 1"),
    ("probes.random_forest.max_depth", "deep", "probes.random_forest.max_depth: 'deep' is not of type"),
    ("probes.linear.strengths", [0], "probes.linear.strengths: 0 is less than or equal to the minimum of 0"),
    ("archive.kind", ["simulated"], r"archive.kind: \['simulated'\] is unknown"),
    ("archive.patches", 100.5, "archive.patches: 100.5 is not of type 'integer'"),
    ("archive.seed", 2**32, "archive.seed: 4294967296 is greater than the maximum"),
    ("features.dofa_base.wavelengths", [3.75, float("inf")], "wavelengths: inf is not a finite number"),
    ("features.dofa_base.weights", "random:12345678901234567890", "is neither"),
    (
        "figures.probes",
        ["linear", "svm"],
        "figures.probes: svm is unknown: one of random_forest, linear",
    ),
    ("threshold", float("nan"), "threshold: nan is not a finite number"),
    ("threshold", 1.5, "threshold: 1.5 is greater than or equal to the maximum of 1"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{p}={v}" for p, v, _ in BAD])
def test_what_is_wrong_is_named(path: str, value: Any, message: str):
    config = copy.deepcopy(DEMO)
    *parents, key = path.split(".")
    target = config
    for parent in parents:
        target = target[parent]
    target[key] = value
    with pytest.raises(UserError, match=message) as caught:
        resolve(config)
    assert "\n" not in str(caught.value)


def test_every_key_of_every_probe_gets_its_default():
    probes = {kind: {"kind": kind} for kind in registry.names("probes")}
    complete = resolve({**DEMO, "probes": probes})["probes"]
    assert {kind: list(probe) for kind, probe in complete.items()} == {
        kind: ["kind", *registry.kind("probes", kind).facts["options"], "seeds"] for kind in probes
    }
    assert complete["extra_trees"]["n_estimators"] == 100
    assert complete["random_forest"]["max_depth"] is None


@pytest.mark.parametrize("key", ["archive", "features", "probes"])
def test_a_missing_section_is_named(key: str):
    config = {k: v for k, v in DEMO.items() if k != key}
    with pytest.raises(UserError, match=f"top level: '{key}' is a required property"):
        resolve(config)


def real(root: Path) -> dict[str, Any]:
    return {**DEMO, "archive": {"name": "x", "kind": "bigearthnet-v1", "root": str(root)}}


def test_a_real_archive_is_looked_for(tiny: TinyArchive, tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        resolve(real(tmp_path / "nowhere"))
    with pytest.raises(
        UserError,
        match=rf"nor BigEarthNet-S1-v1.0.tar, .tar.gz or .tar.zst: found .*/BigEarthNet-S1-v1.0: give {tiny.root}$",
    ):
        resolve(real(tmp_path))
    with pytest.raises(UserError, match=r"lacks the split file bigearthnet-train.csv or train.csv"):
        resolve(real(tiny.root))
    for split in ("train", "val", "test"):
        (tiny.root / f"{split}.csv").touch()
    assert resolve(real(tiny.root))["archive"]["shards"] == 64
    assert [path.name for path in lists(kind("bigearthnet-v1", tiny.root))] == ["train.csv", "val.csv", "test.csv"]


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (kind("reben", "{v1}"), "holds BigEarthNet-S1-v1.0, which is bigearthnet-v1, and no BigEarthNet-S1$"),
        (kind("bigearthnet-v1", "{reben}"), "holds BigEarthNet-S1, which is reben, and no BigEarthNet-S1-v1.0$"),
        (kind("reben", "{reben}", snow_and_clouds=True), "lacks the table metadata_for_patches_with_snow_cloud_or_sh"),
        (kind("reben", "{tmp}/a.tar"), "lacks the table metadata.parquet: put it there$"),
        (
            kind("bigearthnet-v1", "{tmp}/a.tar"),
            "lacks the split file bigearthnet-train.csv or train.csv: put it there$",
        ),
        (kind("bigearthnet-v1", "{tmp}/a.zip"), "a.zip is neither a folder nor a .tar, .tar.gz or .tar.zst$"),
        (kind("bigearthnet-v1", ["{tmp}/a.tar", "{tmp}/b.tar"]), "b.tar does not exist$"),
        (kind("bigearthnet-v1", ["{tmp}", "{tmp}/a.tar"]), "give one folder, or tar archives, but not both$"),
        (kind("bigearthnet-v1", []), "config: archive.root: "),
        (kind("bigearthnet-v1", "{tmp}", snow_and_clouds=True), "unknown key `snow_and_clouds`"),
    ],
)
def test_an_archive_that_does_not_fit_is_named(tmp_path: Path, v1_sample: Path, archive: dict[str, Any], message: str):
    for name in ("a.tar", "a.zip"):
        (tmp_path / name).touch()
    places = {"tmp": tmp_path, "v1": v1_sample, "reben": needs(SHARED / "reben-sample")}
    root = archive["root"]
    archive = archive | {
        "root": [r.format(**places) for r in root] if isinstance(root, list) else root.format(**places)
    }
    with pytest.raises(UserError, match=message):
        resolve(DEMO | {"archive": archive, "label_sets": [19]})


def optical(archive: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration with a feature set of both sensors."""
    return DEMO | {"archive": archive, "features": {"both": FEATURES | {"bands": ["VV", "B02", "B8A"]} | more}}


FEATURES = {"model": "dofa_base_patch16_224", "weights": "random:0"}


def test_wavelengths_are_left_to_the_model_where_none_are_given(tmp_path: Path):
    archive = kind("bigearthnet-v1", tmp_path) | {"fetch": True}
    assert resolve(optical(archive))["features"]["both"]["wavelengths"] is None  # models/test_dofa.py has what it takes
    given = optical(archive, wavelengths=[5.405, 0.49, 0.865])
    assert resolve(given)["features"]["both"]["wavelengths"] == [5.405, 0.49, 0.865]


def test_sensors_are_those_that_a_feature_set_sees():
    features = {"a": {"bands": ["VV"]}, "b": {"bands": ["B02", "VH"]}, "c": {"bands": ["B12"]}}
    assert sensors_of(features, BANDS) == {"s1": ["a", "b"], "s2": ["b", "c"]}
    assert sensors_of({"c": features["c"]}, BANDS) == {"s2": ["c"]}


def test_sentinel_2_that_is_not_there_is_said_before_any_job(v1_sample: Path, tmp_path: Path):
    for path in (*v1_sample.glob("*.csv"), v1_sample / "BigEarthNet-S1-v1.0"):
        (tmp_path / path.name).symlink_to(path)
    archive = {"name": "x", "kind": "bigearthnet-v1", "root": str(tmp_path)}
    message = r"holds neither the folder BigEarthNet-v1.0 nor BigEarthNet-S2-v1.0.tar, .tar.gz or .tar.zst$"
    with pytest.raises(UserError, match=message):
        resolve(optical(archive))
    (tmp_path / "BigEarthNet-S2.tar.zst").touch()
    with pytest.raises(UserError, match="holds BigEarthNet-S2, which is reben, and no BigEarthNet-v1.0$"):
        resolve(optical(archive))
    (tmp_path / "BigEarthNet-v1.0").symlink_to(v1_sample / "BigEarthNet-v1.0")
    assert resolve(optical(archive))["features"]["both"]["bands"] == ["VV", "B02", "B8A"]


def test_a_simulated_archive_has_both_sensors():
    assert resolve(optical(DEMO["archive"]))["features"]["both"]["bands"] == ["VV", "B02", "B8A"]


def test_reben_has_19_classes_and_no_others():
    config = DEMO | {"archive": kind("reben", needs(SHARED / "reben-sample"))}
    for label_sets in ([43], [19, 43]):
        with pytest.raises(UserError, match="label_sets: 43 is unknown: an archive of kind reben has 19"):
            resolve(config | {"label_sets": label_sets})
    del config["label_sets"]
    assert resolve(config)["label_sets"] == ["19"]


@pytest.mark.parametrize("name", ["bigearthnet-v1", "reben"])
def test_the_studies_differ_in_their_archive_alone(name: str, tmp_path: Path):
    config = yaml.safe_load((REPOSITORY / f"config/{name}.yaml").read_text())
    config["archive"] |= {"root": str(tmp_path), "fetch": True}
    resolved = resolve(config)
    assert resolved["archive"]["kind"] == name
    assert resolved["label_sets"] == (["19", "43"] if name == "bigearthnet-v1" else ["19"])
    study = resolve(DEMO)["features"]["dofa_base"] | {"weights": "DOFA_MAE"}
    assert resolved["features"]["dofa_base"] == study
    assert resolved["features"]["dofa_concat"] == study | {"combine": "concat"}
    waves = [[5.405, 5.405], [3.75, 5.405]]
    expanded = feature_sets(resolved)[0]
    assert [entry["wavelengths"] for name, entry in expanded.items() if name.startswith("dofa_waves")] == waves
    assert list(resolved["probes"]) == ["random_forest", "linear", "mlp"]
    assert patch_files(resolved["archive"], "s1")[0][0].name == registry.kind("archives", name).facts["tars"]["s1"]


def test_the_readme_is_made_from_the_schema():
    sys.path.insert(0, str(REPOSITORY / "config"))
    from write_readme import main

    assert (REPOSITORY / "config/README.md").read_text() == main(), "run `make docs`"
    for level in ("archive", "probes", "umap", "figures", "threshold"):
        assert f"## {level}\n" in main()


ENTRIES = [pytest.param(room, name, id=f"{room}-{name}") for room in registry.ROOMS for name in registry.names(room)]


def described(level: dict[str, Any]) -> None:
    assert level["additionalProperties"] is False
    for name, key in level["properties"].items():
        part = schema()["$defs"].get(key.get("$ref", "").removeprefix("#/$defs/"), {}) | key
        assert part.get("description"), name
        assert "default" in part or name in level["required"], name


@pytest.mark.parametrize(("room", "name"), ENTRIES)
def test_every_key_of_every_kind_has_a_description_and_a_default(room: str, name: str):
    described(registry.kind(room, name).schema)


def test_every_other_key_has_a_description_and_a_default():
    described(schema())
    for part in schema()["$defs"].values():
        if "properties" in part:
            described(part)


def test_a_feature_set_of_no_kind_is_dofa():
    features = resolve(DEMO)["features"]["dofa_base"]
    assert features["kind"] == "dofa"
    assert resolve(DEMO | {"features": {"x": features}})["features"]["x"] == features


def test_statistics_need_bands_alone():
    resolved = resolve(DEMO | {"features": {"pixels": {"kind": "statistics", "bands": ["VV"]}}})["features"]["pixels"]
    of_all = {"pca": None, "store": "float32", "vary": {}, "seeds": 1}
    own = {"bands": ["VV"], "percentiles": [5, 25, 50, 75, 95], "protocol": None}
    assert resolved == {"kind": "statistics", **own, **of_all}


def test_an_entry_on_a_command_line_gets_its_defaults():
    assert entry_of("probes", '{"kind": "knn", "k": 3}', "--probe") == {
        "kind": "knn",
        "metric": "l2",
        "k": 3,
        "temperature": 0.07,
        "scale": True,
        "protocol": None,
        "seeds": 1,
    }
    for text, message in (
        ("{", "--probe: { is not valid JSON"),
        ("3", "--probe lacks `kind`: one of binned_forest, extra_trees, knn"),
        ('{"kind": "knn", "kk": 3}', "--probe: unknown key `kk`: did you mean `k`"),
        ('{"kind": "svm"}', "--probe.kind: 'svm' is unknown: one of binned_forest, extra_trees, knn"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            entry_of("probes", text, "--probe")


OWN = """def build(weights, inputs, *, radius=3, names=("a",)):
    raise AssertionError("a configuration that is read runs nothing")
"""


def test_a_users_own_file_is_a_kind(tmp_path: Path):
    path = tmp_path / "my_model.py"
    path.write_text(OWN)
    config = DEMO | {"features": {"own": {"kind": str(path), "bands": ["VV"], "radius": 4}}}
    resolved = resolve(config)["features"]["own"]
    assert resolved["radius"] == 4
    assert resolved["names"] == ("a",)
    assert resolved["normalization"] == "zscore"
    config["features"]["own"]["radus"] = 3
    with pytest.raises(UserError, match="features.own: unknown key `radus`: did you mean `radius`"):
        resolve(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def biuld(): pass", r"my_model.py has no function `build`: docs/extending.md shows one"),
        ("def build(:", r"my_model.py is not a valid Python file: invalid syntax"),
        ("def build(weights, inputs, *, x=open('y')): pass", r"my_model.py: the default of `x` is not a plain value"),
    ],
)
def test_a_users_own_file_that_does_not_fit_is_named(tmp_path: Path, text: str, message: str):
    path = tmp_path / "my_model.py"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        resolve(DEMO | {"features": {"own": {"kind": str(path), "bands": ["VV"]}}})
    assert "\n" not in str(caught.value)


def test_a_yaml_file_beside_it_says_more(tmp_path: Path):
    path = tmp_path / "my_model.py"
    path.write_text(OWN)
    path.with_suffix(".yaml").write_text(
        "unit: amplitude\nrequired: [bands]\n"
        "options: {bands: {$ref: '#/$defs/bands'}, radius: {type: integer, default: 2}}\n"
    )
    config = DEMO | {"features": {"own": {"kind": str(path), "bands": ["VV"]}}}
    message = rf"features.own.bands: VV is in dB, but {path} needs amplitude: take other bands"
    with pytest.raises(UserError, match=message):
        resolve(config)
    config["features"]["own"]["radius"] = "wide"
    with pytest.raises(UserError, match="features.own.radius: 'wide' is not of type 'integer'"):
        resolve(config)
    path.with_suffix(".yaml").write_text("{")
    with pytest.raises(UserError, match=r"my_model.yaml is not a valid YAML file: ") as caught:
        resolve(config)
    assert "\n" not in str(caught.value)
