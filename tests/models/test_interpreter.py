"""The public models run by torch: the same outputs as ONNX Runtime, and gradients for their layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.analysis.importance import gradient_squares
from core.analysis.runtime import output_names, run, session
from core.data import Samples
from core.interpreter.module import TorchGraph, missing_operators
from core.interpreter.tensors import from_array
from core.model.model import Model

pytestmark = pytest.mark.models


def test_parity(name: str, folder: Path, model: Model, calib: Samples) -> None:
    lacking = missing_operators(model.graph())
    graph, reference = TorchGraph(model.graph()), session(folder / "model.onnx")
    worst = 0.0
    for feed in calib.feeds(3):
        with torch.no_grad():
            results = graph({key: from_array(array) for key, array in feed.items()})
        for key, expected in zip(output_names(reference), run(reference, feed), strict=True):
            assert tuple(results[key].shape) == expected.shape
            worst = max(worst, float(np.abs(results[key].numpy() - expected).max() / np.abs(expected).max()))
    print(f"\n{name}: max relative difference {worst:.1e}, missing operators: {', '.join(lacking) or 'none'}")
    assert not lacking
    assert worst <= 1e-4


def test_gradients(name: str, model: Model, calib: Samples) -> None:
    """All layers have them; of silero_vad those of the branch for the samples' rate, which is half of its layers."""
    names = [layer.name for layer in model.layers if not layer.locked]
    found = gradient_squares(model, calib, names, limit=2)
    assert len(found) == (len(names) // 2 if name == "silero_vad" else len(names))
    assert {key: values.shape for key, values in found.items()} == {key: model.layer(key).shape for key in found}
    assert all(np.isfinite(values).all() for values in found.values())
    assert np.mean([values.any() for values in found.values()]) > 0.9
