"""What plans may change before weights: cuts and activations, looked at with float weights, planned where they pay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.analysis.calibration import Calibration
from core.analysis.operations import multiply_adds
from core.data import Samples
from core.exporting.export import export
from core.methods.registry import families
from core.model.model import Model
from core.model.readers import open_model
from core.pipeline import compress
from core.plan_job import PlanSpec, plan_file
from core.planning.budgets import Goal
from core.planning.candidates import run_settings
from core.planning.structures import build, combined, structures
from core.recipe import Recipe, Step

EVERY = families()
FEED = {"x": np.ones((1, 48), np.float32)}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("core.analysis.sensitivity.table.cache_folder", lambda: folder)
    monkeypatch.setattr("core.analysis.sensitivity.cache.cache_folder", lambda: folder)


def test_cuts_serve_every_cost_and_families_decide(model: Model) -> None:
    for goal in (Goal.SIZE, Goal.LATENCY, Goal.MULTIPLY_ADDS, Goal.DROP):
        found = structures(model, Recipe(), EVERY, [goal])
        assert [structure.label for structure in found] == ["channels −10 %", "channels −25 %", "channels −50 %"]
    assert structures(model, Recipe(), ["Quantization"], [Goal.LATENCY]) == ()


def test_a_structure_is_carried_out_on_all_groups(model: Model, samples: tuple[Samples, Samples]) -> None:
    half = structures(model, Recipe(), EVERY, [Goal.MULTIPLY_ADDS], samples=True)[-1]
    built = build(model, half, Calibration(model, samples[0]))
    shapes = {layer.name: layer.shape for layer in built.model.layers}
    assert shapes == {"a.weight": (48, 48), "b.weight": (48, 48), "c.weight": (6, 48)}
    assert built.lines
    assert half.recipe.steps_for("a.weight") == half.before["a.weight"]
    assert half.before["a.weight"][0].params.criterion == "activation"


def test_pinned_layers_and_what_is_coupled_with_them_stay(model: Model) -> None:
    found = structures(model, Recipe(), EVERY, [Goal.MULTIPLY_ADDS], pinned=["c.weight"])
    assert {name for structure in found for name in structure.before} == {"a.weight"}  # b's outputs are c's inputs
    assert structures(model, Recipe(), EVERY, [Goal.MULTIPLY_ADDS], pinned=["b.weight"]) == ()


def test_activations_save_time_alone(make_model: Callable[..., Path]) -> None:
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Gelu", ["h"], ["g"]),
        helper.make_node("MatMul", ["g", "v"], ["y"]),
    ]  # fmt: skip
    weights = {name: random.normal(0, 0.2, (32, 32)).astype(np.float32) for name in "wv"}
    smooth = open_model(make_model(nodes, weights, {"x": ["n", 32]}, {"y": ["n", 32]}, opset=20))
    labels = [s.label for s in structures(smooth, Recipe(), ["Activations"], [Goal.LATENCY])]
    assert labels == ["smooth to HardSwish", "smooth to Relu"]
    assert structures(smooth, Recipe(), ["Activations"], [Goal.SIZE]) == ()
    cut = structures(smooth, Recipe(), ["Structured cuts"], [Goal.LATENCY])[0]
    swap = structures(smooth, Recipe(), ["Activations"], [Goal.LATENCY])[0]
    both = combined(cut, swap)
    assert both.recipe.graph == swap.recipe.graph
    assert both.recipe.steps_for("w") == cut.before["w"]
    assert both.label == "channels −10 %, smooth to HardSwish"


def test_settings_of_runs_come_from_what_methods_save() -> None:
    methods = {step.method for setting in run_settings() for step in setting}
    assert {"low_rank", "low_rank:channels", "quantize:static", "quantize:dynamic"} <= methods
    assert not {"prune", "float16", "quantize"} & methods
    assert {s.method for setting in run_settings(["Low rank"]) for s in setting} <= {
        m for m in methods if m.startswith("low_rank")
    }
    small = [setting for setting in run_settings(also_small=True) if len(setting) == 2]
    assert small
    assert all(setting[1] == Step.make("quantize", bits=8) for setting in small)


def test_multiply_adds_are_halved_in_the_file(
    path: Path, data_path: Path, model: Model, samples: tuple[Samples, Samples], tmp_path: Path
) -> None:
    plan = plan_file(PlanSpec(str(path), "multiply_adds", "50%", str(data_path), minutes=0.5))
    assert plan.met
    assert plan.multiply_adds_before == 96 * 48 + 96 * 96 + 6 * 96
    assert [variant.label for variant in plan.variants] == ["channels −10 %", "channels −25 %", "channels −50 %"]
    assert all(variant.measured is not None for variant in plan.variants)
    report = export(model, compress(model, plan.recipe, samples=samples[0]), tmp_path / "out.onnx")
    assert not report.trouble
    count = multiply_adds(open_model(tmp_path / "out.onnx"), FEED).total
    assert count == pytest.approx(plan.multiply_adds_after, rel=0.01)
    assert count <= plan.multiply_adds_before / 2


def test_where_cuts_alone_may_be_used_they_are(path: Path, data_path: Path, model: Model) -> None:
    spec = PlanSpec(str(path), "multiply_adds", "60%", str(data_path), ("structured-cuts",), minutes=0.5)
    plan = plan_file(spec)
    assert plan.met
    assert plan.structure
    assert {step.method for _, steps in plan.recipe.layers for step in steps or ()} == {"prune_channels"}
    samples = PlanSpec(str(path), "size", "60%", str(data_path), ("structured-cuts",), minutes=0.5)
    smaller = plan_file(samples)
    assert smaller.met
    assert smaller.bytes_predicted <= 0.6 * model.file_bytes
