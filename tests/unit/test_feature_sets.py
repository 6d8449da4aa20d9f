"""What does not fit is refused before any job."""

import json
from typing import Any

import pytest
from earthprobe import registry
from earthprobe.config import entry_of, resolve
from earthprobe.errors import UserError
from earthprobe.feature_sets import check_feature_set
from earthprobe.sensors import BANDS, bands_of

S1, S2 = ["VV", "VH"], list(bands_of("s2"))
RANDOM = "random:0"


def check(archive: str = "bigearthnet-v1", **entry: Any) -> dict[str, Any]:

    whole = entry_of("models", json.dumps(entry), "x")
    check_feature_set("f", whole, archive)
    return whole


def torchgeo(model: str, weights: str = RANDOM, bands: list[str] = S1, **more: Any) -> dict[str, Any]:
    return {"kind": "torchgeo", "model": model, "weights": weights, "bands": bands, **more}


def galileo(**more: Any) -> dict[str, Any]:
    return {"kind": "galileo", "model": "nano", "weights": RANDOM, "bands": S1, **more}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            torchgeo("resnet50", "SENTINEL1_ALL_MOCO", ["VH", "VV"]),
            "f.bands: SENTINEL1_ALL_MOCO of resnet50 was trained on VV, VH, in this order: found VH, VV$",
        ),
        (torchgeo("resnet50", "SENTINEL1_ALL_MOCO", ["VV"]), "was trained on VV, VH, in this order: found VV$"),
        (torchgeo("resnet50", "SENTINEL2_ALL_MOCO"), r"was trained on B01, B02, .*, B12, in this order: found VV, VH$"),
        (
            torchgeo("resnet50", bands=["VV"]),
            "f.bands: no published weights of resnet50 take VV, .*: take VV, VH; or B01, .*, or set normalization",
        ),
        (
            torchgeo("swin_v2_b", "SENTINEL1_SI_SATLAS", ["VH", "VV"]),
            "f.normalization: SENTINEL1_SI_SATLAS of swin_v2_b was trained on numbers of 8 bits, which cannot be had"
            " exactly from dB: set normalization: zscore, or take other weights$",
        ),
        (
            torchgeo("croma_base", bands=["VH", "VV"]),
            r"f.bands: torchgeo croma_base takes, in this order, VV, VH; or",
        ),
        (
            torchgeo("croma_base", image_size=100),
            "into pieces of 8 pixels, of which 100 is no multiple: set image_size to 96$",
        ),
        (torchgeo("panopticon_vitb14", image_size=220), "into pieces of 14 pixels, of which 220 is no multiple"),
        (
            torchgeo("resnet50", wavelengths=[1, 2]),
            "f.wavelengths: torchgeo resnet50 takes none: leave them out$",
        ),
        (
            torchgeo("copernicusfm_base", wavelengths=[1.0]),
            "give one for each band, in their order: 1 given for VV, VH$",
        ),
        (
            torchgeo("resnet50", "SENTINEL1_GRD_MAE"),
            "f.weights: 'SENTINEL1_GRD_MAE' is neither SENTINEL1_ALL_DECUR, nor .*, nor random:<seed>, nor a file$",
        ),
        (galileo(bands=["VV"]), "f.bands: galileo nano takes VV, VH together: add VH, or take VV out$"),
        (galileo(bands=["B01"]), "f.bands: galileo nano does not know B01: it takes VV, VH, B02"),
        (galileo(patch_size=7), "into pieces of 7 pixels, of which 120 is no multiple: set image_size to 119$"),
        (galileo(image_size=124), "into pieces of 8 pixels, of which 124 is no multiple: set image_size to 128$"),
        (
            {"kind": "timm", "model": "resnet18", "weights": RANDOM, "bands": ["B02", "B03", "B04"]},
            r"x.bands: \['B02', 'B03', 'B04'\] is unknown: one of \['B04', 'B03', 'B02'\], \['VV', 'VH'\]",
        ),
        (
            torchgeo("resnet50", protocol="copernicus-bench", normalization="zscore"),
            "f.normalization: protocol: copernicus-bench sets it: leave normalization out$",
        ),
        (
            torchgeo("resnet50", protocol="torchgeo-bench", image_size=128),
            "f.image_size: protocol: torchgeo-bench sets it: leave image_size out$",
        ),
        (
            {"kind": "rcf", "bands": S1, "protocol": "copernicus-bench"},
            "f.protocol: copernicus-bench has none of rcf: it is for dofa, torchgeo$",
        ),
        (
            torchgeo("resnet50", "SENTINEL1_GRD_SOFTCON", protocol="copernicus-bench"),
            "f.protocol: copernicus-bench is not to be had with these weights: it clips SoftCon's pixels",
        ),
        (torchgeo("panopticon_vitb14", protocol="mine"), "x.protocol: 'mine' is unknown: one of copernicus-bench"),
        ({"kind": "file", "path": "nowhere.npz"}, "f.path: nowhere.npz does not exist$"),
        ({"kind": "callable", "target": "x", "bands": S1}, "x.target: 'x' does not have the form"),
    ],
)
def test_what_does_not_fit_is_one_line(entry: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message) as error:
        check(**entry)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "entry",
    [
        torchgeo("resnet50", "SENTINEL1_ALL_MOCO"),
        torchgeo("resnet50", "SENTINEL2_ALL_MOCO", S2),
        torchgeo("swin_v2_b", "SENTINEL1_SI_SATLAS", ["VH", "VV"], normalization="zscore"),
        torchgeo("resnet50", bands=["VV"], normalization="zscore"),
        torchgeo("croma_base", "CROMA_VIT", S1 + S2),
        torchgeo("copernicusfm_base", bands=["B8A", "VV"], wavelengths=[860, 5e7]),
        torchgeo("panopticon_vitb14", wavelengths=[-5, -6]),
        galileo(patch_size=7, image_size=126),
        galileo(bands=["VH", "VV", "B08"]),
        {"kind": "timm", "model": "resnet18", "weights": RANDOM, "bands": ["B04", "B03", "B02"]},
        {"kind": "location"},
        torchgeo("croma_base", protocol="copernicus-bench"),
        torchgeo("swin_v2_b", "SENTINEL1_SI_SATLAS", ["VH", "VV"], protocol="torchgeo-bench"),
        {"kind": "rcf", "bands": S1},
    ],
)
def test_what_fits_is_taken(entry: dict[str, Any]):
    assert check(**entry)["kind"] == entry["kind"]


def test_an_archive_that_does_not_say_dates_has_no_models_that_need_them(monkeypatch: pytest.MonkeyPatch):
    whole = registry.kind

    def forgetful(room: str, name: str) -> registry.Kind:
        found = whole(room, name)
        return found._replace(facts={**found.facts, "knows": []}) if room == "archives" else found

    monkeypatch.setattr(registry, "kind", forgetful)
    with pytest.raises(UserError, match="f: galileo nano must know the date of each patch, which an archive"):
        check(**galileo())


def test_a_band_without_a_known_bandwidth_is_refused():
    bands = BANDS | {"nir": BANDS["B08"]}
    whole = entry_of("models", json.dumps(torchgeo("copernicusfm_base", bands=["nir"])), "x")
    with pytest.raises(UserError, match="f.bands: torchgeo copernicusfm_base does not know nir: it takes VV, VH, B01"):
        check_feature_set("f", whole, "table", bands)


def test_a_study_must_see_pixels():
    config = {
        "archive": {"name": "x", "kind": "simulated"},
        "features": {"place": {"kind": "location"}},
        "probes": {"linear": {"kind": "linear"}},
    }
    with pytest.raises(UserError, match="features: none of them sees pixels: add one that does"):
        resolve(config)
