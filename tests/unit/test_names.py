"""Names that rows have."""

import pytest
from earthprobe.errors import UserError
from earthprobe.names import check_names, check_pairs

ROWS = ["dofa/linear", "pixels/linear", "control/prior"]


def test_a_feature_set_is_not_called_as_controls_are():
    check_names(["dofa", "controls"])
    with pytest.raises(UserError, match="features.control: so are rows called that see no pixel: rename it"):
        check_names(["dofa", "control"])


def test_a_comparison_names_rows_that_there_are():
    check_pairs("best", ROWS)
    check_pairs([["dofa/linear", "control/prior"]], ROWS)
    with pytest.raises(UserError, match="compare: there is no row dofa/linaer: there are dofa/linear, pixels/linear"):
        check_pairs([["dofa/linaer", "pixels/linear"]], ROWS)
