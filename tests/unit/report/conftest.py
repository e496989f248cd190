"""What the tests of the report share."""

import pytest

from omnirl.report import figures


@pytest.fixture
def quick(monkeypatch):
    """Pages without charts, which take most of the time: charts hold numbers and names from params.yaml only."""
    monkeypatch.setattr(figures, "curves", lambda *_: [])
    monkeypatch.setattr(figures, "forest", lambda *_: None)
