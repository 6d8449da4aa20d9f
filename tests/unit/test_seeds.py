import pytest
from earthprobe.config import feature_sets, resolve
from earthprobe.errors import UserError
from earthprobe.seeds import expand_seeds, with_seed

RCF = {"kind": "rcf", "bands": ["VV", "VH"], "seed": 4}


def config(features: dict, probes: dict) -> dict:
    return {"archive": {"name": "x", "kind": "simulated"}, "features": features, "probes": probes}


def test_a_further_seed_follows_its_own():
    assert with_seed({"kind": "mlp", "seed": 7, "seeds": 5}, 0) == {"kind": "mlp", "seed": 7}
    assert with_seed({"kind": "mlp", "seed": 7, "seeds": 5}, 3) == {"kind": "mlp", "seed": 10}
    assert with_seed({"weights": "random:2", "seeds": 2}, 1) == {"weights": "random:3"}


def test_each_seed_of_a_feature_set_is_one_of_its_own():
    dofa = {"model": "dofa_base_patch16_224", "weights": "random:0", "bands": ["VV", "VH"], "seeds": 2}
    resolved = resolve(config({"rcf": {**RCF, "seeds": 3}, "dofa": dofa}, {"linear": {"kind": "linear"}}))
    shown = feature_sets(resolved)[0]
    found, members = expand_seeds(shown)
    assert list(shown) == ["rcf", "dofa"]
    assert members == {"rcf": ["rcf", "rcf_seed-1", "rcf_seed-2"], "dofa": ["dofa", "dofa_seed-1"]}
    assert [found[name]["seed"] for name in members["rcf"]] == [4, 5, 6]
    assert [found[name]["weights"] for name in members["dofa"]] == ["random:0", "random:1"]
    assert not any("seeds" in entry for entry in found.values())


@pytest.mark.parametrize(
    ("features", "probes", "message"),
    [
        (
            {"rcf": RCF},
            {"linear": {"kind": "linear", "seeds": 2}},
            "probes.linear.seeds: nothing of a linear is drawn at",
        ),
        (
            {"rcf": RCF},
            {"forest": {"kind": "random_forest", "seed": 2**32 - 2, "seeds": 3}},
            "probes.forest: the last of 3 seeds would be above 4294967295",
        ),
        (
            {"pixels": {"kind": "statistics", "bands": ["VV"], "seeds": 2}},
            {"linear": {"kind": "linear"}},
            "features.pixels.seeds: nothing of a statistics is drawn at random: leave it out",
        ),
        (
            {"rcf": {**RCF, "seeds": 2}, "rcf_seed-1": RCF},
            {"linear": {"kind": "linear"}},
            "features.rcf.seeds: there is a feature set rcf_seed-1 already: rename it",
        ),
        (
            {"rcf": RCF},
            {"mlp": {"kind": "mlp", "seeds": 2}, "mlp_ensemble": {"kind": "mlp"}},
            "probes.mlp_ensemble: so is the mean over seeds of mlp called: rename it",
        ),
    ],
)
def test_seeds_of_nothing_and_taken_names_are_refused(features: dict, probes: dict, message: str):
    with pytest.raises(UserError, match=message):
        resolve(config(features, probes))
