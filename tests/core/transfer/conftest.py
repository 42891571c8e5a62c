"""The toy network, opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.model.model import Model
from core.model.readers import open_model
from tests.core.transfer.toys import network


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Model]:
    """make(**words) -> the network, opened."""
    return lambda **words: open_model(network(tmp_path / "bars.onnx", **words))
