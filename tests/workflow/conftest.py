"""Runs of the real workflow in a clone of the repository, with a small simulated archive."""

import pytest

from tests.clone import TINY, Clone


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the tiny configuration has run to the end."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    made.run(config=TINY)
    return made
