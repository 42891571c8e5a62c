"""Every way to quantize weights on public models: it exports, the size is as predicted, and all of it folds away."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest

from core.data import load_samples
from core.exporting.export import export
from core.exporting.sizes import predict_bytes
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe, Step

pytestmark = pytest.mark.models

SETTINGS = [
    ("quantize:binary", {}), ("quantize:ternary", {}), ("quantize:nf", {}), ("quantize:pow2", {"terms": 2}),
    ("quantize:mulaw", {}), ("float8", {}), ("quantize:codebook", {"bits": 3, "outliers": 0.005}),
    ("quantize:affine", {"bits": 4, "outliers": 0.01}),
    ("quantize:affine", {"bits": 4, "range": "percentile", "rounding": "stochastic"}),
]


def operators(path: Path, folder: Path) -> Counter[str]:
    """Operators that are left when a session has loaded a file."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


@pytest.mark.parametrize("name", ["lenet5", "ppocr_rec"])
def test_schemes(name: str, models_dir: Path, tmp_path: Path) -> None:
    model = open_model(models_dir / name / "model.onnx")
    before = operators(model.path, tmp_path)
    for number, (method, values) in enumerate(SETTINGS):
        done = compress(model, Recipe(defaults=(Step.make(method, **values),)))
        encodings = {r.name: r.encoding for r in done.layers if r.encoding is not None}
        target = tmp_path / f"{number}.onnx"
        export(model, done, target)
        assert predict_bytes(model, encodings) == pytest.approx(target.stat().st_size, rel=0.01)
        assert operators(target, tmp_path) == before


def test_error_feedback_beats_nearest_on_a_transformer(models_dir: Path, tmp_path: Path) -> None:
    from core.analysis.metrics import sqnr_db
    from core.analysis.runtime import run, session

    model = open_model(models_dir / "minilm" / "model.onnx")
    samples = load_samples(models_dir / "minilm" / "calib.npz", model.inputs)
    feeds = list(load_samples(models_dir / "minilm" / "test.npz", model.inputs).feeds(16))
    original = run(session(model.path, threads=2), feeds[0])[0]
    found = {}
    for rounding in ("nearest", "feedback"):
        steps = (Step.make("quantize", bits=4, rounding=rounding),)
        linear = tuple((layer.name, steps) for layer in model.layers if layer.kind == "Linear")
        target = tmp_path / f"{rounding}.onnx"
        export(model, compress(model, Recipe(layers=linear), samples=samples), target)
        found[rounding] = sqnr_db(original, run(session(target, threads=2), feeds[0])[0])
    assert found["feedback"] > found["nearest"] + 2
