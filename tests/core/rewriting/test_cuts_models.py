"""Channels of the public models cut by a quarter, without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from core.analysis.operations import multiply_adds
from core.analysis.runtime import run, session
from core.methods import registry
from core.model.model import Model
from core.model.readers import open_model
from core.recipe import Step
from core.rewriting.cuts import CutPlan, plan_cuts

pytestmark = pytest.mark.models


def planned(model: Model, word: str = "prune_channels") -> CutPlan:
    step = Step.make(word, ratio=0.25)
    kinds = registry.by_key(step.method).kinds
    return plan_cuts(model, {layer.name: step for layer in model.layers if layer.kind in kinds})


def written(model: Model, plan: CutPlan, path: Path) -> Path:
    graph = model.graph()
    assert plan.change is not None
    plan.change.apply(graph)
    ir.save(graph, path)
    return path


def feeds(folder: Path, model: Model, count: int = 2) -> list[dict[str, np.ndarray]]:
    data = np.load(folder / "test.npz")
    return [{port.name: data[port.name][i : i + 1] for port in model.inputs} for i in range(count)]


NAMES = ["lenet300", "lenet5", "ppocr_cls", "ppocr_det", "ppocr_rec", "vit_digits", "magika", "minilm"]


@pytest.mark.parametrize("name", NAMES)
def test_a_quarter_of_the_channels_goes(name: str, models_dir: Path, tmp_path: Path) -> None:
    """Fewer multiply-adds, a smaller file, and the outputs of the masked original."""
    folder = models_dir / name
    model = open_model(folder / "model.onnx")
    plan = planned(model)
    path = written(model, plan, tmp_path / "cut.onnx")
    masked = model.graph()
    assert plan.change is not None
    plan.change.reference(masked)
    ir.save(masked, tmp_path / "masked.onnx")
    cut, reference = session(path), session(tmp_path / "masked.onnx")
    for feed in feeds(folder, model):
        for found, wanted in zip(run(cut, feed), run(reference, feed), strict=True):
            # Of a probability near zero float32 keeps only so much: what counts is its place between zero and one.
            np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * max(np.abs(wanted).max(), 1.0))
    feed = feeds(folder, model, 1)[0]
    share = multiply_adds(open_model(path), feed).total / multiply_adds(model, feed).total
    assert share <= {"lenet5": 0.8, "ppocr_det": 0.8}.get(name, 0.9)
    assert path.stat().st_size < model.file_bytes
    assert all(plan.skipped.values())


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 320), (160, 64), (320, 480), (736, 32)])
def test_the_detector_runs_at_every_size(size: tuple[int, int], models_dir: Path, tmp_path: Path) -> None:
    model = open_model(models_dir / "ppocr_det" / "model.onnx")
    path = written(model, planned(model), tmp_path / "cut.onnx")
    feed = {"x": np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32)}
    (found,), (before,) = run(session(path), feed), run(session(model.path), feed)
    assert found.shape == before.shape


@pytest.mark.parametrize(("name", "heads", "layers"), [("vit_digits", 4, 4), ("minilm", 12, 6)])
def test_heads_go(name: str, heads: int, layers: int, models_dir: Path, tmp_path: Path) -> None:
    folder = models_dir / name
    model = open_model(folder / "model.onnx")
    plan = planned(model, "prune_heads")
    assert plan.change is not None
    assert [(one.units, len(one.kept)) for one in plan.change.cuts] == [(heads, heads * 3 // 4)] * layers
    masked = model.graph()
    plan.change.reference(masked)
    ir.save(masked, tmp_path / "masked.onnx")
    cut, reference = session(written(model, plan, tmp_path / "cut.onnx")), session(tmp_path / "masked.onnx")
    for feed in feeds(folder, model):
        for found, wanted in zip(run(cut, feed), run(reference, feed), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_layers_in_branches_say_so(models_dir: Path) -> None:
    plan = planned(open_model(models_dir / "silero_vad" / "model.onnx"))
    assert plan.change is None
    assert all("branches are not followed" in why for why in plan.skipped.values())
