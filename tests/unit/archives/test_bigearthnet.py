import pytest
from earthprobe.archives.bigearthnet import CLASSES_19, CLASSES_43, FROM_43_TO_19, SET_19, SET_43, indices_19
from earthprobe.archives.interface import LabelSet
from torchgeo.datasets import BigEarthNet


def test_every_19_class_has_a_counterpart_and_eleven_of_43_have_none():
    assert len(CLASSES_43) == 43
    assert len(CLASSES_19) == 19
    assert set(FROM_43_TO_19.values()) == set(range(19))
    assert len(set(range(43)) - set(FROM_43_TO_19)) == 11


def test_indices_are_sorted_and_unique():
    assert SET_43.indices(["Sea and ocean", "Pastures", "Pastures"]) == [17, 42]
    assert indices_19([17, 42, 40, 3]) == [4, 18]


@pytest.mark.parametrize("label_set", [SET_19, SET_43], ids=lambda label_set: label_set.name)
def test_an_unknown_class_is_named(label_set: LabelSet):
    with pytest.raises(ValueError, match="unknown class 'Pasture'"):
        label_set.indices(["Pastures", "Pasture"])


def test_constants_are_torchgeos():
    assert BigEarthNet.class_sets[43] == list(CLASSES_43)
    assert BigEarthNet.class_sets[19] == list(CLASSES_19)
    assert BigEarthNet.label_converter == FROM_43_TO_19
