"""The public models' fixtures, shared with tests/models, and the models' own metric on any part of the test set."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("models_conftest", Path(__file__).parents[1] / "models" / "conftest.py")
if _spec is None or _spec.loader is None:
    raise ImportError("tests/models/conftest.py cannot be loaded")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
name, folder, model, calib, metric = (getattr(_module, key) for key in ("name", "folder", "model", "calib", "metric"))

Outputs = list[list[np.ndarray[Any, np.dtype[Any]]]]


class Judge:
    """The task's metric of a public model's test set, by the models builder's metric.py, on one thread."""

    def __init__(self, module: ModuleType, folder: Path) -> None:
        self._module, self._folder = module, folder
        self._meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        self._data = dict(np.load(folder / "test.npz", allow_pickle=False))
        self._session = module.session(folder / "model.onnx")
        self._reference: Outputs = module.run(self._session, self._data, self._meta)

    def run(self, path: Path) -> Outputs:
        """All outputs of a file on all test samples; raises what ONNX Runtime raises."""
        outputs: Outputs = self._module.run(self._module.session(path), self._data, self._meta)
        return outputs

    def value(self, outputs: Outputs | None = None, rows: np.ndarray[Any, Any] | None = None) -> float:
        """The metric of these outputs (of the original's without any), on some rows of the test set or all."""
        picked = np.arange(len(self._reference)) if rows is None else rows
        reference = [self._reference[i] for i in picked]
        given = reference if outputs is None else [outputs[i] for i in picked]
        data = {key: array[picked] for key, array in self._data.items()}
        return float(self._module.score(self._meta["metric"], given, reference, data, self._meta, self._folder))

    def sqnr(self, outputs: Outputs) -> float:
        """Output SQNR in dB over all float outputs and samples."""
        return float(self._module.sqnr(outputs, self._reference))

    def latency(self, path: Path) -> float:
        """Median time of a sample / that of the original, run in turn."""
        ours, original = self._module.latency(self._module.session(path), self._session, self._data)
        return float(ours / original)


@pytest.fixture
def judge(folder: Path) -> Judge:
    """The metric of the public model in turn; skips where the models builder's metric.py is not there."""
    return Judge(_module._metric_module(), folder)
