"""The sample model that ships with Featherweight: a small network with real test data and its measured accuracy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import resources
from core.errors import InternalError


@dataclass(frozen=True)
class SamplePaths:
    """Where the sample's files are.

    model   model.onnx
    data    test.npz: `image` (samples x 1 x 8 x 8, float32, 0 to 1) and `labels`; no picture of it was trained on
    calib   calib.npz: the same arrays for pictures of the training set
    info    info.json: measured accuracy, source and licence of the data, how the model was made
    """

    model: Path
    data: Path
    calib: Path
    info: Path

    def read_info(self) -> dict[str, Any]:
        """The contents of info.json."""
        content: dict[str, Any] = json.loads(self.info.read_text(encoding="utf-8"))
        return content


def sample_paths() -> SamplePaths:
    """The sample's files, wherever the program is installed; InternalError when they are missing."""
    folder = resources.path("sample")
    paths = SamplePaths(folder / "model.onnx", folder / "test.npz", folder / "calib.npz", folder / "info.json")
    missing = [path.name for path in (paths.model, paths.data, paths.calib, paths.info) if not path.is_file()]
    if missing:
        raise InternalError(
            f"the sample lacks {', '.join(missing)}", where=str(folder), do="install Featherweight again"
        )
    return paths
