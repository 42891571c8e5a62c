"""What every method that changes the graph keeps to. A new one is tested here without a line being written."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.analysis.calibration import Calibration
from core.analysis.runtime import run, session
from core.data import load_samples
from core.errors import Cancelled, LayerSkipped, ParameterError
from core.methods.base import GraphContext, GraphMethod
from core.methods.order import why_not_after
from core.methods.params import build, specs, to_dict
from core.methods.registry import all_methods, by_key, describe, find
from core.model.model import Model
from core.model.readers import open_model
from core.model.rewritten import rewritten_model
from core.progress import Reporter
from core.recipe import Recipe, Step

METHODS = tuple(method for method in all_methods() if isinstance(method, GraphMethod))
OPSETS = (11, 20)


@pytest.fixture(params=METHODS, ids=lambda method: method.key)
def method(request: pytest.FixtureRequest) -> GraphMethod:
    return request.param


def variants(method: GraphMethod) -> list:
    """The defaults, and every choice and grid value of every parameter alone, with what makes it active."""
    found = [method.Params()]
    for spec in specs(method.Params):
        base = {other: allowed[0] for other, allowed in spec.when}
        values = spec.choices or spec.grid or ((True, False) if spec.type == "boolean" else ())
        found += [build(method.Params, {**base, spec.name: value}) for value in values]
    return found


@pytest.fixture(params=OPSETS, ids=lambda opset: f"opset{opset}")
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    """A small network with one activation of each form, spelled out and not, a gate and a branch."""
    random = np.random.default_rng(3)
    make = helper.make_node
    weights = {f"w{i}": random.normal(0, 0.4, (8, 8)).astype(np.float32) for i in range(4)}
    numbers = {"half": 0.5, "one": 1.0, "root": 2**0.5}
    nodes = [
        make("MatMul", ["x", "w0"], ["a0"]), make("Div", ["a0", "root"], ["a1"]), make("Erf", ["a1"], ["a2"]),
        make("Add", ["a2", "one"], ["a3"]), make("Mul", ["a0", "a3"], ["a4"]), make("Mul", ["a4", "half"], ["a5"]),
        make("MatMul", ["a5", "w1"], ["b0"]), make("Relu", ["b0"], ["b1"]),
        make("Sigmoid", ["b1"], ["b2"]), make("Mul", ["a5", "b2"], ["b3"]),
        make("MatMul", ["b3", "w2"], ["c0"]), make("Tanh", ["c0"], ["c1"]),
        make("MatMul", ["c1", "w3"], ["d0"]), make("Sigmoid", ["d0"], ["y"]),
    ]  # fmt: skip
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32), n) for n, v in (weights | numbers).items()]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])], tensors,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", request.param)], ir_version=7)
    onnx.save(made, tmp_path / "model.onnx")
    return open_model(tmp_path / "model.onnx")


@pytest.fixture
def context(model: Model, tmp_path: Path) -> GraphContext:
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(4).normal(0, 1, (16, 8)).astype(np.float32))
    samples = load_samples(tmp_path / "data.npz", model.inputs)
    return GraphContext(Calibration(model, samples).ranges)


def planned(method: GraphMethod, model: Model, context: GraphContext):
    """Each variant that does something to the model, with its change."""
    for params in variants(method):
        try:
            change = method.plan(model.graph(), params, context)
        except LayerSkipped as skipped:
            assert skipped.what
            continue
        if change is not None:
            yield params, change


def text(graph: ir.Model) -> bytes:
    return ir.to_proto(graph).SerializeToString()


def test_is_described_and_found(method: GraphMethod) -> None:
    assert find(method.word, method.scheme or None) is method
    assert by_key(method.key) is method
    told = json.loads(json.dumps(describe(method)))
    assert told["stage"] == "graph"
    assert all(told[word] for word in ("title", "family", "summary", "saves", "costs", "choose_when", "avoid_when",
                                       "source"))  # fmt: skip
    assert why_not_after(method, ())  # it is no step of a layer


def test_parameters_are_whole_frozen_and_checked(method: GraphMethod) -> None:
    params = method.Params()
    for spec in specs(method.Params):
        assert spec.title
        assert spec.description
        assert spec.optional or spec.check(spec.default) == spec.default
        for bound, beyond in ((spec.minimum, -1), (spec.maximum, 1)):
            if bound is not None:
                with pytest.raises(ParameterError, match=spec.name):
                    build(method.Params, {spec.name: bound + beyond})
    for field in fields(params):
        with pytest.raises(FrozenInstanceError):
            setattr(params, field.name, None)


def test_goes_through_a_recipe_with_short_labels(method: GraphMethod) -> None:
    for params in variants(method):
        recipe = Recipe(graph=(Step(method.key, params),))
        assert Recipe.parse(recipe.dump()) == recipe
        assert build(method.Params, to_dict(params)) == params
        assert 0 < len(method.label(params)) <= 20


def test_planning_changes_nothing_and_gives_the_same_again(method: GraphMethod, model: Model, context) -> None:
    graph = model.graph()
    before = text(graph)
    for params, change in planned(method, model, context):
        assert method.plan(graph, params, context) == change
        assert pickle.loads(pickle.dumps(change)) == change
        assert change.lines()
        assert all(isinstance(line, str) and line for line in change.lines())
    assert text(graph) == before


def test_the_changed_graph_runs_and_applies_always_alike(method: GraphMethod, model: Model, context, tmp_path) -> None:
    x = np.random.default_rng(9).normal(0, 1, (5, 8)).astype(np.float32)
    done = 0
    for _, change in planned(method, model, context):
        changed = rewritten_model(model, [change])
        assert text(changed.graph()) == text(changed.graph())
        ir.save(changed.graph(), tmp_path / "changed.onnx")
        onnx.checker.check_model(onnx.load(tmp_path / "changed.onnx"), full_check=True)
        (y,) = run(session(tmp_path / "changed.onnx"), {"x": x})
        assert y.shape == (5, 8)
        assert np.isfinite(y).all()
        assert {layer.name for layer in changed.layers} <= {layer.name for layer in model.layers}
        assert [port.name for port in changed.outputs] == ["y"]
        done += 1
    assert done > 0


def test_without_samples_it_works_or_says_so(method: GraphMethod, model: Model) -> None:
    done = 0
    for params in variants(method):
        try:
            method.plan(model.graph(), params, GraphContext())
            done += 1
        except LayerSkipped as skipped:
            assert skipped.what
    assert done > 0 or method.data != "none"


def test_a_cancel_is_heard(method: GraphMethod, model: Model, context: GraphContext) -> None:
    class Cancel:
        def is_set(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        method.plan(model.graph(), method.Params(), GraphContext(context.ranges, reporter=Reporter(cancel=Cancel())))
