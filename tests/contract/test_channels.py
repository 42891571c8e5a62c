"""What every method that cuts channels keeps to. A new one is tested here without a line being written."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from core.data.layer_inputs import LayerInputs
from core.errors import Cancelled, ParameterError
from core.methods._channels import ChannelChooser
from core.methods.base import Role, Stage
from core.methods.order import role, why_not_after
from core.methods.params import build, specs, to_dict
from core.methods.registry import all_methods, by_key, describe, find
from core.model.layer import Kind
from core.model.model import Model
from core.model.readers import open_model
from core.progress import Reporter
from core.recipe import Recipe, Step
from core.rewriting.cuts import plan_cuts

METHODS = tuple(method for method in all_methods() if method.stage is Stage.CHANNELS)
node = helper.make_node


@pytest.fixture(params=METHODS, ids=lambda method: method.key)
def method(request: pytest.FixtureRequest) -> ChannelChooser:
    return request.param


def variants(method: ChannelChooser) -> list:
    """The defaults, and every choice and grid value of every parameter alone, with what makes it active."""
    found = [method.Params()]
    for spec in specs(method.Params):
        base = {other: allowed[0] for other, allowed in spec.when}
        found += [build(method.Params, {**base, spec.name: value}) for value in spec.choices or spec.grid]
    return found


def model_for(make_model: Callable[..., Path], bad: float | None = None) -> Model:
    """Attention of four heads between two Linear layers, so that there is something to cut for every method."""
    random = np.random.default_rng(5)
    shapes = {"enter": (6, 16), "q": (16, 16), "k": (16, 16), "v": (16, 16), "o": (16, 16), "leave": (16, 3)}
    weights = {name: random.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}
    if bad is not None:
        for weight in weights.values():
            weight[1, 1] = bad
    weights |= {"heads": np.array([0, 0, 4, 4]), "whole": np.array([0, 0, 16])}
    nodes = [node("MatMul", ["x", "enter"], ["e"]), node("Relu", ["e"], ["n"])]
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [node("MatMul", ["n", name], [f"{name}1"]), node("Reshape", [f"{name}1", "heads"], [f"{name}2"]),
                  node("Transpose", [f"{name}2"], [f"{name}3"], perm=perm)]  # fmt: skip
    nodes += [node("MatMul", ["q3", "k3"], ["s"]), node("Softmax", ["s"], ["t"]), node("MatMul", ["t", "v3"], ["u"]),
              node("Transpose", ["u"], ["w"], perm=[0, 2, 1, 3]), node("Reshape", ["w", "whole"], ["r"]),
              node("MatMul", ["r", "o"], ["p"]), node("Relu", ["p"], ["z"]),
              node("MatMul", ["z", "leave"], ["y"])]  # fmt: skip
    return open_model(make_model(nodes, weights, {"x": ["n", "t", 6]}, {"y": ["n", "t", 3]}))


def measured(model: Model) -> Callable[[str], LayerInputs | None]:
    """Made-up statistics of every layer: all that any method may ask for."""

    def inputs(name: str) -> LayerInputs:
        layer, random = model.layer(name), np.random.default_rng(len(name))
        rows, width = layer.shape
        numbers = [random.random(shape).astype(np.float32) for shape in ((1, rows), (width,), (width,), layer.shape)]
        return LayerInputs(8, 8, mean=numbers[0], square=numbers[0], output_mean=numbers[1], output_square=numbers[1],
                           active=numbers[2] * 0.1, gradient_square=numbers[3])  # fmt: skip

    return inputs


def steps(method: ChannelChooser, params: object, model: Model) -> dict[str, Step]:
    return {layer.name: Step(method.key, params) for layer in model.layers}


def test_is_found_and_tells_people_what_it_is(method: ChannelChooser) -> None:
    assert find(method.word, method.scheme or None) is method
    assert by_key(method.key) is method
    assert isinstance(method, ChannelChooser)
    assert role(method) is Role.CUT
    assert "multiply-adds" in method.saves
    for text in (method.summary, method.costs, method.choose_when, method.avoid_when):
        assert text.endswith(".")
    assert json.loads(json.dumps(describe(method)))["key"] == method.key


def test_parameters_are_declared_whole_and_frozen(method: ChannelChooser) -> None:
    for spec in specs(method.Params):
        assert spec.title
        assert spec.description
        assert spec.check(spec.default) == spec.default
        assert not spec.choice_titles or len(spec.choice_titles) == len(spec.choices)
        for bound, beyond in ((spec.minimum, -1), (spec.maximum, 1)):
            if bound is not None:
                with pytest.raises(ParameterError, match=spec.name):
                    build(method.Params, {spec.name: bound + beyond})
    params = method.Params()
    for field in fields(params):
        with pytest.raises(FrozenInstanceError):
            setattr(params, field.name, None)


def test_goes_through_a_recipe_with_a_short_label(method: ChannelChooser) -> None:
    for params in variants(method):
        recipe = Recipe(defaults=(Step(method.key, params),), layers=(("a b: #", (Step(method.key, params),)),))
        assert Recipe.parse(recipe.dump()) == recipe
        assert build(method.Params, to_dict(params)) == params
        assert 0 < len(method.label(params)) <= 20


def test_comes_before_what_stores_weights_in_another_way(method: ChannelChooser) -> None:
    quantize = find("quantize")
    assert why_not_after(quantize, [method]) == ""
    assert why_not_after(method, [quantize])


@pytest.mark.parametrize("kind", Kind)
def test_says_why_not_for_other_kinds_and_locked_layers(method: ChannelChooser, kind: Kind, layer_of) -> None:
    layer = layer_of(kind)
    assert bool(method.why_not(layer, method.Params())) == (kind not in method.kinds)
    assert method.why_not(replace(layer, locked="stored as codes"), method.Params()) == "stored as codes"


def test_every_variant_cuts_or_says_why_not_and_the_graph_runs(method: ChannelChooser, make_model) -> None:
    from core.analysis.runtime import run, session

    model = model_for(make_model)
    feed = {"x": np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)}
    cut = 0
    for params in variants(method):
        plan = plan_cuts(model, steps(method, params, model), measured(model))
        assert set(plan.cut) | set(plan.skipped) >= {layer.name for layer in model.layers}
        assert all(plan.skipped.values())
        if plan.change is None:
            continue
        cut += 1
        results = []
        for write in (plan.change.apply, plan.change.reference):
            graph = model.graph()
            write(graph)
            results.append(run(session(ir.serde.serialize_model(graph).SerializeToString()), feed)[0])
        np.testing.assert_allclose(*results, rtol=0, atol=1e-5 * np.abs(results[1]).max())
    assert cut


def test_what_samples_are_needed_for_is_told_when_there_are_none(method: ChannelChooser, make_model) -> None:
    model = model_for(make_model)
    asking = [params for params in variants(method) if method.needs(params)]
    assert bool(asking) == (method.data != "none")
    for params in asking:
        plan = plan_cuts(model, steps(method, params, model))
        assert plan.change is None
        assert any("samples" in why for why in plan.skipped.values())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_skipped_with_the_reason(method, bad: float, make_model) -> None:
    model = model_for(make_model, bad)
    plan = plan_cuts(model, steps(method, method.Params(), model))
    assert plan.change is None
    assert any("NaN or infinite" in why for why in plan.skipped.values())


def test_a_cancel_is_heard(method: ChannelChooser, make_model) -> None:
    model, cancel = model_for(make_model), threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        plan_cuts(model, steps(method, method.Params(), model), reporter=Reporter(cancel=cancel))
