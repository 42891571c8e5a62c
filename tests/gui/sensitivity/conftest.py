"""Here the sensitivity comes by itself, as in the program."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def nothing_by_itself() -> None:
    """Takes the place of the fixture of that name that all other tests of the window have."""
