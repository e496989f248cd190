"""Checkouts whose stages are played by `stand_in.py`; see `checkouts.py`."""

import pytest
from checkouts import Checkout, make_stand_in


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory) -> Checkout:
    """One checkout of stand-in stages for the whole file."""
    return make_stand_in(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture
def fresh_stand_in(tmp_path) -> Checkout:
    """A checkout of stand-in stages in which nothing has run."""
    return make_stand_in(tmp_path)
