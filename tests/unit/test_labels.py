import pytest
from earthprobe.labels import CLASSES_19, CLASSES_43, FROM_43_TO_19, INDEX_43, indices_19, indices_of
from torchgeo.datasets import BigEarthNet


def test_every_19_class_has_a_counterpart_and_eleven_of_43_have_none():
    assert len(CLASSES_43) == 43
    assert len(CLASSES_19) == 19
    assert set(FROM_43_TO_19.values()) == set(range(19))
    assert len(set(range(43)) - set(FROM_43_TO_19)) == 11


def test_indices_are_sorted_and_unique():
    assert indices_of(["Sea and ocean", "Pastures", "Pastures"], INDEX_43) == [17, 42]
    assert indices_19([17, 42, 40, 3]) == [4, 18]


def test_an_unknown_class_is_named():
    with pytest.raises(ValueError, match="unknown class 'Pasture'"):
        indices_of(["Pasture"], INDEX_43)


def test_constants_are_torchgeos():
    assert BigEarthNet.class_sets[43] == CLASSES_43
    assert BigEarthNet.label_converter == FROM_43_TO_19
