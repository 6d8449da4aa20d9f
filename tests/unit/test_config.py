import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from earthprobe.config import patch_files, resolve, sensors_of, split_file, tables
from earthprobe.errors import UserError
from earthprobe.layout import TARS, tar_name

from tests.conftest import REPOSITORY, SHARED, TinyArchive, needs

SCHEMA = REPOSITORY / "workflow/schemas/config.schema.yaml"
DEMO: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())


def test_the_demo_is_valid_and_defaults_are_filled_in():
    resolved = resolve(DEMO, SCHEMA)
    assert resolved["archive"] == {
        "name": "simulated",
        "kind": "simulated",
        "patches": 1500,
        "seed": 0,
        "shards": 4,
        "max_rejected": 0.02,
    }
    assert resolved["probes"]["mlp"]["learning_rate"] == 0.0003
    assert resolved["threshold"] == 0.5
    assert resolve(resolved, SCHEMA) == resolved


def test_whole_floats_are_integers():
    config = copy.deepcopy(DEMO)
    config["archive"]["shards"] = 4.0
    config["probes"]["mlp"]["hidden"] = [512.0]
    config["label_sets"] = [19.0, 43]
    resolved = resolve(config, SCHEMA)
    assert repr(resolved["archive"]["shards"]) == "4"
    assert repr(resolved["probes"]["mlp"]["hidden"]) == "[512]"


def test_the_order_of_keys_does_not_matter():
    def backwards(value: Any) -> Any:
        return {k: backwards(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value

    turned = backwards(DEMO)
    turned["features"] = backwards(turned["features"])
    assert str(resolve(turned, SCHEMA)["archive"]) == str(resolve(DEMO, SCHEMA)["archive"])


def test_the_input_is_not_changed():
    before = copy.deepcopy(DEMO)
    resolve(DEMO, SCHEMA)
    assert before == DEMO


BAD = [
    ("archive.kind", "zenodo", r"archive.kind: 'zenodo' is unknown: one of simulated, bigearthnet-v1"),
    ("archive.patchs", 3, "archive: unknown key `patchs`: did you mean `patches`"),
    ("archive.patches", "many", r"archive.patches: 'many' is not of type 'integer'"),
    ("archive.patches", 3, r"archive.patches: 3 is less than the minimum of 12"),
    ("archive.name", "a/b", r"archive.name: 'a/b' is no name"),
    ("archive", None, "archive lacks `kind`"),
    ("labels", 19, "top level: unknown key `labels`: did you mean `label_sets`"),
    ("label_sets", [20], r"label_sets: 20 is unknown: one of 19, 43"),
    ("label_sets", [], r"label_sets: \[\] should be non-empty"),
    ("features", {}, "features: is empty"),
    ("features.dofa_base.model", "dofa", "features.dofa_base.model: 'dofa' is unknown: one of dofa_base"),
    ("features.dofa_base.bands", ["VV", "B4"], "features.dofa_base.bands: 'B4' is unknown: one of VV, VH, B01, B02"),
    ("features.dofa_base.bands", ["VV"], "wavelengths: 2 given for 1 bands"),
    ("features.dofa_base.wavelengths", [3.75], "wavelengths: 1 given for 2 bands"),
    ("features.dofa_base.weights", "DOFA_MEA", "'DOFA_MEA' is neither DOFA_MAE, nor random:<seed>, nor a file"),
    ("features.dofa_base.weights", "/nowhere/x.pth", "nor a file"),
    ("features.dofa_base.image_size", 256, "image_size: 256 is unknown: one of 224"),
    ("probes.mlp.hiden", [3], "probes.mlp: unknown key `hiden`: did you mean `hidden`"),
    ("probes.mlp.kind", "svm", "probes.mlp.kind: 'svm' is unknown: one of random_forest, extra_trees, linear, mlp"),
    ("probes.extra_trees.n_estimators", 0, "probes.extra_trees.n_estimators: 0 is less than the minimum of 1"),
    ("probes.random_forest.max_depth", "deep", "probes.random_forest.max_depth: 'deep' is not of type"),
    ("probes.linear.strengths", [0], "probes.linear.strengths: 0 is less than or equal to the minimum of 0"),
    ("archive.kind", ["simulated"], r"archive.kind: \['simulated'\] is unknown"),
    ("archive.patches", 100.5, "archive.patches: 100.5 is not of type 'integer'"),
    ("archive.seed", 2**32, "archive.seed: 4294967296 is greater than the maximum"),
    ("features.dofa_base.wavelengths", [3.75, float("inf")], "wavelengths: inf is no number to work with"),
    ("features.dofa_base.weights", "random:12345678901234567890", "is neither"),
    ("threshold", float("nan"), "threshold: nan is no number to work with"),
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
        resolve(config, SCHEMA)
    assert "\n" not in str(caught.value)


def test_every_key_of_every_probe_gets_its_default():
    probes = {kind: {"kind": kind} for kind in ("random_forest", "extra_trees", "linear", "mlp")}
    complete = resolve({**DEMO, "probes": probes}, SCHEMA)["probes"]
    levels = yaml.safe_load(SCHEMA.read_text())["$defs"]
    assert {kind: list(probe) for kind, probe in complete.items()} == {
        kind: list(levels[f"probe_{kind}"]["properties"]) for kind in probes
    }
    assert complete["extra_trees"]["n_estimators"] == 100
    assert complete["random_forest"]["max_depth"] is None


@pytest.mark.parametrize("key", ["archive", "features", "probes"])
def test_a_missing_section_is_named(key: str):
    config = {k: v for k, v in DEMO.items() if k != key}
    with pytest.raises(UserError, match=f"top level: '{key}' is a required property"):
        resolve(config, SCHEMA)


def real(root: Path) -> dict[str, Any]:
    return {**DEMO, "archive": {"name": "x", "kind": "bigearthnet-v1", "root": str(root)}}


def test_a_real_archive_is_looked_for(tiny: TinyArchive, tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        resolve(real(tmp_path / "nowhere"), SCHEMA)
    with pytest.raises(
        UserError,
        match=r"holds neither the folder BigEarthNet-S1-v1.0 nor BigEarthNet-S1-v1.0.tar, .tar.gz or .tar.zst$",
    ):
        resolve(real(tmp_path), SCHEMA)
    with pytest.raises(UserError, match=r"lacks the split file bigearthnet-train.csv or train.csv"):
        resolve(real(tiny.root), SCHEMA)
    for split in ("train", "val", "test"):
        (tiny.root / f"{split}.csv").touch()
    assert resolve(real(tiny.root), SCHEMA)["archive"]["shards"] == 64
    assert split_file(kind("bigearthnet-v1", tiny.root), "val").name == "val.csv"


def kind(kind: str, root: object, **more: Any) -> dict[str, Any]:
    """The archive of a configuration."""
    return {"name": "x", "kind": kind, "root": root if isinstance(root, list) else str(root), "fetch": False} | more


def test_an_archive_is_found_unpacked_or_not(tmp_path: Path):
    (tmp_path / "BigEarthNet-S1-v1.0-notes.txt").touch()
    parts = [tmp_path / f"BigEarthNet-S1-v1.0.tar.gz{part}" for part in ("aa", "ab", "ac")]
    for path in reversed(parts):
        path.touch()
    archive = kind("bigearthnet-v1", tmp_path)
    assert patch_files(archive, "s1") == [parts]
    (tmp_path / "BigEarthNet-S1-v1.0").mkdir()
    assert patch_files(archive, "s1") == tmp_path / "BigEarthNet-S1-v1.0"
    numbered = [tmp_path / f"mine.tar.zst.part{number}" for number in (1, 2, 10)]
    for path in [*numbered, tmp_path / "other.tar"]:
        path.touch()
    named = kind("bigearthnet-v1", [str(path) for path in (numbered[2], tmp_path / "other.tar", *numbered[:2])])
    assert patch_files(named, "s1") == [[tmp_path / "other.tar"], numbered]
    assert patch_files(kind("bigearthnet-v1", tmp_path / "other.tar"), "s1") == [[tmp_path / "other.tar"]]


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
        resolve(DEMO | {"archive": archive, "label_sets": [19]}, SCHEMA)


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        ("x.tar", "x.tar"),
        ("x.tgz", "x.tgz"),
        ("x.tar.zst", "x.tar.zst"),
        ("x.tar.gzaa", "x.tar.gz"),
        ("x.tar.gz.bd", "x.tar.gz"),
        ("x.tar.part12", "x.tar"),
        ("x.tar.zst.001", "x.tar.zst"),
        ("x.tar.xz", None),
        ("x.tar.lz", None),
        ("x.tar.bz", None),
        ("x.tar.bz2", None),
        ("x.tar.gz.md5", None),
        ("x.zip", None),
    ],
)
def test_tar_archives_and_their_parts_are_known_by_name(name: str, archive: str | None):
    assert tar_name(Path(name)) == archive


def test_what_lies_beside_an_archive_is_no_part_of_it(tmp_path: Path):
    top = "BigEarthNet-S1-v1.0"
    for name in (f"{top}.tar.gz.md5", f"{top}.tar.xz", f"{top}.tar.gz.aria2"):
        (tmp_path / name).touch()
    fetched = kind("bigearthnet-v1", tmp_path) | {"fetch": True}
    assert patch_files(fetched, "s1") == [[tmp_path / f"{top}.tar.gz"]]
    whole = tmp_path / f"{top}.tar.gz"
    for path in (whole, whole.with_name(f"{whole.name}aa"), whole.with_name(f"{whole.name}ab")):
        path.touch()
    assert patch_files(fetched, "s1") == patch_files(kind("bigearthnet-v1", tmp_path), "s1") == [[whole]]
    (tmp_path / f"{top}.tar").touch()
    with pytest.raises(UserError, match=rf"holds {top}.tar, {top}.tar.gz: rename all but the one to read"):
        patch_files(kind("bigearthnet-v1", tmp_path), "s1")


def optical(archive: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration with a feature set of both sensors."""
    return DEMO | {"archive": archive, "features": {"both": FEATURES | {"bands": ["VV", "B02", "B8A"]} | more}}


FEATURES = {"model": "dofa_base_patch16_224", "weights": "random:0"}


def test_wavelengths_are_the_sensors_where_none_are_given(tmp_path: Path):
    archive = kind("bigearthnet-v1", tmp_path) | {"fetch": True}
    assert resolve(optical(archive), SCHEMA)["features"]["both"]["wavelengths"] == [3.75, 0.4927, 0.8647]
    given = optical(archive, wavelengths=[5.405, 0.49, 0.865])
    assert resolve(given, SCHEMA)["features"]["both"]["wavelengths"] == [5.405, 0.49, 0.865]


def test_sensors_are_those_that_a_feature_set_sees():
    features = {"a": {"bands": ["VV"]}, "b": {"bands": ["B02", "VH"]}, "c": {"bands": ["B12"]}}
    assert sensors_of(features) == {"s1": ["a", "b"], "s2": ["b", "c"]}
    assert sensors_of({"c": features["c"]}) == {"s2": ["c"]}


def test_sentinel_2_that_is_not_there_is_said_before_any_job(v1_sample: Path, tmp_path: Path):
    for path in (*v1_sample.glob("*.csv"), v1_sample / "BigEarthNet-S1-v1.0"):
        (tmp_path / path.name).symlink_to(path)
    archive = {"name": "x", "kind": "bigearthnet-v1", "root": str(tmp_path)}
    message = r"holds neither the folder BigEarthNet-v1.0 nor BigEarthNet-S2-v1.0.tar, .tar.gz or .tar.zst$"
    with pytest.raises(UserError, match=message):
        resolve(optical(archive), SCHEMA)
    (tmp_path / "BigEarthNet-S2.tar.zst").touch()
    with pytest.raises(UserError, match="holds BigEarthNet-S2, which is reben, and no BigEarthNet-v1.0$"):
        resolve(optical(archive), SCHEMA)
    (tmp_path / "BigEarthNet-v1.0").symlink_to(v1_sample / "BigEarthNet-v1.0")
    assert resolve(optical(archive), SCHEMA)["features"]["both"]["bands"] == ["VV", "B02", "B8A"]


def test_lists_lie_beside_any_of_several_archives(tmp_path: Path):
    for folder, name in (("a", "BigEarthNet-S2.tar.zst"), ("b", "BigEarthNet-S1.tar.zst"), ("b", "metadata.parquet")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch()
    archive = kind("reben", [str(tmp_path / "a/BigEarthNet-S2.tar.zst"), str(tmp_path / "b/BigEarthNet-S1.tar.zst")])
    assert tables(archive | {"snow_and_clouds": False}) == [tmp_path / "b/metadata.parquet"]


def test_a_simulated_archive_has_no_reflectance():
    with pytest.raises(UserError, match="features.both.bands: a simulated archive has Sentinel-1 only: take VV and VH"):
        resolve(optical(DEMO["archive"]), SCHEMA)


@pytest.mark.parametrize(
    ("name", "folder", "stem"),
    [
        ("bigearthnet-v1", "BigEarthNet-v1.0", "BigEarthNet-S2-v1.0"),
        ("bigearthnet-v1", "BigEarthNet-v1.0", "BigEarthNet-v1.0"),
        ("reben", "BigEarthNet-S2", "BigEarthNet-S2"),
    ],
)
def test_sentinel_2_lies_beside_sentinel_1(tmp_path: Path, name: str, folder: str, stem: str):
    s1 = tmp_path / TARS["s1"][name]
    s1.touch()
    archive = kind(name, tmp_path)
    published = TARS["s2"][name].partition(".")[0]
    with pytest.raises(
        UserError, match=f"holds neither the folder {folder} nor {published}.*.tar, .tar.gz or .tar.zst"
    ):
        patch_files(archive, "s2")
    s2 = tmp_path / f"{stem}.tar.zst"
    s2.touch()
    assert patch_files(archive, "s2") == [[s2]]
    named = kind(name, [str(s1), str(s2)])
    assert patch_files(named, "s1") == [[s1]]
    assert patch_files(named, "s2") == [[s2]]
    with pytest.raises(UserError, match=f"no tar archive of {folder} among {s1}: add it, under the name {published}"):
        patch_files(kind(name, s1), "s2")
    (tmp_path / folder).mkdir()
    assert patch_files(archive, "s2") == tmp_path / folder
    assert patch_files(archive, "s1") == [[s1]]


def test_reben_has_19_classes_and_no_others():
    config = DEMO | {"archive": kind("reben", needs(SHARED / "reben-sample"))}
    for label_sets in ([43], [19, 43]):
        with pytest.raises(UserError, match="label_sets: reBEN has labels of 19 classes only: take 43 out"):
            resolve(config | {"label_sets": label_sets}, SCHEMA)
    del config["label_sets"]
    assert resolve(config, SCHEMA)["label_sets"] == [19]


@pytest.mark.parametrize("name", ["bigearthnet-v1", "reben"])
def test_the_studies_differ_in_their_archive_alone(name: str, tmp_path: Path):
    config = yaml.safe_load((REPOSITORY / f"config/{name}.yaml").read_text())
    config["archive"] |= {"root": str(tmp_path), "fetch": True}
    resolved = resolve(config, SCHEMA)
    assert resolved["archive"]["kind"] == name
    assert resolved["label_sets"] == ([19, 43] if name == "bigearthnet-v1" else [19])
    assert resolved["features"] == resolve(DEMO, SCHEMA)["features"] | {
        "dofa_base": resolve(DEMO, SCHEMA)["features"]["dofa_base"] | {"weights": "DOFA_MAE"}
    }
    assert list(resolved["probes"]) == ["random_forest", "linear", "mlp"]
    assert patch_files(resolved["archive"], "s1")[0][0].name == TARS["s1"][name]


def test_what_is_fetched_need_not_be_there(tmp_path: Path):
    archive = kind("reben", tmp_path / "new") | {"fetch": True, "snow_and_clouds": False}
    assert patch_files(archive, "s1") == [[tmp_path / "new/BigEarthNet-S1.tar.zst"]]
    assert patch_files(archive, "s2") == [[tmp_path / "new/BigEarthNet-S2.tar.zst"]]
    assert tables(archive) == [tmp_path / "new/metadata.parquet"]
    (tmp_path / "new").mkdir()
    (tmp_path / "new/BigEarthNet-S1.tar.gzaa").touch()
    assert patch_files(archive, "s1") == [[tmp_path / "new/BigEarthNet-S1.tar.gzaa"]]
    with pytest.raises(UserError, match="give the folder to fetch into"):
        patch_files(archive | {"root": [str(tmp_path)]}, "s1")


def test_the_readme_is_made_from_the_schema():
    sys.path.insert(0, str(REPOSITORY / "config"))
    from write_readme import main

    assert (REPOSITORY / "config/README.md").read_text() == main(), "run `make docs`"
    for level in ("archive", "probes", "umap", "figures", "threshold"):
        assert f"## {level}\n" in main()


def test_every_key_has_a_description():
    schema = yaml.safe_load(SCHEMA.read_text())
    levels = [schema, *(part for part in schema["$defs"].values() if "properties" in part)]
    for level in levels:
        assert level["additionalProperties"] is False
        for name, key in level["properties"].items():
            part = schema["$defs"].get(key.get("$ref", "").removeprefix("#/$defs/"), {}) | key
            assert part.get("description"), name
            assert "default" in part or name in level["required"], name
