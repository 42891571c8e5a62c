"""An opened model as others use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ModelFileError
from core.model.readers import open_model


def test_a_file_that_changed_while_it_was_open_is_named(mlp_path: Path) -> None:
    model = open_model(mlp_path)
    before = mlp_path.read_bytes()
    assert model.weight("fc1.weight").size
    mlp_path.write_bytes(before[: len(before) // 2])  # the map would now end the process when read
    for use in (lambda: model.weight("fc1.weight"), model.graph):
        with pytest.raises(ModelFileError, match="changed or removed since it was opened"):
            use()
    mlp_path.unlink()
    with pytest.raises(ModelFileError, match="changed or removed"):
        model.weight("fc1.weight")
