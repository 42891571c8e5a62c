"""Every registered method with three settings on every public model: exported, loaded, equal to the decoded result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.data import Samples
from core.exporting.export import export
from core.methods.base import Described, Stage
from core.methods.params import build, specs
from core.methods.registry import all_methods
from core.model.layer import Kind
from core.model.model import Model
from core.pipeline import compress
from core.recipe import Recipe, Step

pytestmark = pytest.mark.models

SAMPLES = 8  # what activation-aware methods gain from more is not the question here
TIGHT = 1e-5
MOST_LAYERS = 24  # of a model, spread over it: each setting still meets several layers of each kind


def settings(method: Described) -> list[Any]:
    """Three settings: the defaults, and two of the values that grids and choices declare, far apart."""
    found = [method.Params()]
    for spec in specs(method.Params):
        base = {other: allowed[0] for other, allowed in spec.when}
        values = spec.grid or spec.choices
        found += [build(method.Params, {**base, spec.name: value}) for value in values]
    different = list(dict.fromkeys(found))
    return [different[0], different[len(different) // 2], different[-1]]


def recipe_for(method: Described, model: Model) -> Recipe:
    """The three settings in turn over layers that the method handles, or over the graph."""
    three = settings(method)
    if method.stage is Stage.GRAPH:
        return Recipe(graph=tuple(Step(method.key, params) for params in three))
    able = [layer for layer in model.layers if layer.kind in method.kinds and not layer.locked]
    step = max(1, len(able) // MOST_LAYERS)
    chosen = able[::step]
    entries = tuple((layer.name, (Step(method.key, three[i % 3]),)) for i, layer in enumerate(chosen))
    return Recipe(layers=entries)


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.key)
def test_every_method(name: str, method: Described, model: Model, calib: Samples, tmp_path: Path) -> None:
    few = calib.subset(SAMPLES)
    recipe = recipe_for(method, model)
    if recipe.does_nothing:
        pytest.skip(f"{name} has no layer of these kinds")
    done = compress(model, recipe, samples=few)
    reasons = {r.skipped for r in done.layers if r.steps and r.skipped} | set(done.rewriting.trouble)
    assert all(reasons)
    if not done.rewriting.changes and all(r.encoding is None for r in done.layers):
        assert reasons
        pytest.skip(f"nothing done: {sorted(reasons)[0]}")
    report = export(model, done, tmp_path / "out.onnx", few)
    skipped = sum(bool(r.skipped) for r in report.layers if r.steps)
    parity = "not compared" if report.parity is None else f"{report.parity:.1e}"
    print(
        f"\n{name}, {method.key}: file {report.ratio:.4f}, {skipped} of {sum(bool(r.steps) for r in report.layers)} "
        f"layers left, parity {parity}, predicted {report.bytes_predicted / report.bytes_after - 1:+.2%}"
    )
    failed = [check for check in report.checks if not check.passed and check.name != "bytes"]
    assert not failed
    assert report.bytes_predicted == pytest.approx(report.bytes_after, rel=0.01)
    assert report.parity is not None


def test_a_steps_layer_kinds_are_met() -> None:
    """Each kind of layer is handled by some method, so that the table above leaves none out."""
    assert {kind for method in all_methods() for kind in method.kinds} == set(Kind)
    assert all(len(settings(method)) == 3 for method in all_methods())
    assert replace(Recipe(), graph=()).does_nothing
