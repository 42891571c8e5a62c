"""The metric of sentence embeddings, as the models' builder works it out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.analysis.comparison import compare_models
from core.data import load_samples
from core.exporting.export import export
from core.model.model import Model
from core.pipeline import compress
from core.recipe import Recipe

pytestmark = pytest.mark.models


@pytest.mark.parametrize("name", ["minilm"], indirect=True)
def test_sentences_stay_alike(
    folder: Path, model: Model, metric: Callable[[Path], dict[str, float]], tmp_path: Path
) -> None:
    target = tmp_path / "out.onnx"
    export(model, compress(model, Recipe.parse("featherweight: 1\ndefaults: [{quantize: {bits: 3}}]\n")), target)
    test = load_samples(folder / "test.npz", model.inputs)
    score = compare_models(folder / "model.onnx", target, test, latency=False, memory=False).score
    assert score is not None and score.metric == "similarity" and score.reference == 1.0
    expected = metric(target)["value"]
    print(f"\nminilm: {score.change_text}, by the task's own metric {expected:.6f}")
    assert 0.5 < expected < 0.999
    assert score.value == pytest.approx(expected, abs=1e-6)
