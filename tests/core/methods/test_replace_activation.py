"""Replacing activations: what is chosen, what is refused, and that the new function is computed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from core.analysis.activation_ranges import activation_ranges
from core.analysis.calibration import Calibration
from core.analysis.runtime import run, session
from core.data import load_samples
from core.errors import Cancelled, LayerSkipped
from core.methods.base import GraphContext
from core.methods.replace_activation import TO, ReplaceActivation, ReplaceActivationParams, why_not
from core.model.activations import find_activations
from core.model.readers import open_model
from core.model.rewritten import rewritten_model
from core.progress import Progress, Reporter
from core.recipe import Recipe
from core.rewriting.rewrite import rewrite
from tests.core.model.test_activations import SPELLED

METHOD = ReplaceActivation()
X = np.linspace(-8, 8, 400, dtype=np.float32).reshape(100, 4)
FUNCTIONS = {
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "HardSigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "HardTanh": lambda x: np.clip(x, -1, 1),
    "Identity": lambda x: x,
}


def ran(model, folder: Path) -> np.ndarray:
    graph = model.graph()
    ir.save(graph, folder / "rewritten.onnx")
    return run(session(folder / "rewritten.onnx"), {"x": X})[0]


def single(make_model, how: str, opset: int = 20):
    _, nodes, numbers = SPELLED[how]
    tensors = {name: np.float32(value) for name, value in numbers.items()}
    return open_model(make_model(nodes, tensors, {"x": ["n", 4]}, {"y": ["n", 4]}, opset=opset))


@pytest.mark.parametrize("opset", [10, 13, 20])
@pytest.mark.parametrize("to", ["Relu", "Relu6", "HardSwish", "Identity"])
def test_a_spelled_out_gelu_becomes_what_was_asked_for(make_model, tmp_path: Path, to: str, opset: int) -> None:
    model = single(make_model, "gelu as exported", opset)
    change = METHOD.plan(model.graph(), ReplaceActivationParams("Gelu", to), GraphContext())
    changed = rewritten_model(model, [change])
    np.testing.assert_allclose(ran(changed, tmp_path), FUNCTIONS[to](X), atol=1e-6)
    left = changed.graph()
    assert [out.name for out in left.graph.outputs] == ["y"]
    assert not {node.op_type for node in left.graph} & {"Erf", "Div", "Add"}
    assert not left.graph.initializers  # the numbers of the old form are gone
    assert change.lines()[0].startswith(f"Gelu -> {to}: ")
    assert {node.op_type for node in model.graph().graph} >= {"Erf"}  # the model itself is as it was


@pytest.mark.parametrize(("how", "name", "to"), [
    ("sigmoid by exp", "Sigmoid", "HardSigmoid"), ("sigmoid by exp", "Sigmoid", "Relu"),
    ("hard swish by clip", "HardSwish", "Relu6"), ("mish", "Mish", "HardSwish"), ("softplus", "Softplus", "Relu"),
    ("silu", "SiLU", "HardSwish"), ("relu by max", "Relu", "Relu6"),
])  # fmt: skip
def test_other_activations(make_model, tmp_path: Path, how: str, name: str, to: str) -> None:
    model = single(make_model, how)
    change = METHOD.plan(model.graph(), ReplaceActivationParams(name, to), GraphContext())
    np.testing.assert_allclose(ran(rewritten_model(model, [change]), tmp_path), FUNCTIONS[to](X), atol=1e-6)


def test_the_clip_comes_from_the_samples(mlp_path: Path, tmp_path: Path) -> None:
    model = open_model(mlp_path)
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(1).normal(0, 1, (200, 16)).astype(np.float32))
    samples = load_samples(tmp_path / "data.npz", model.inputs)
    params = ReplaceActivationParams("Relu", "Clip", percentile=99)
    with pytest.raises(LayerSkipped, match="samples"):
        METHOD.plan(model.graph(), params, GraphContext())
    change = METHOD.plan(model.graph(), params, GraphContext(Calibration(model, samples, limit=200).ranges))
    (swap,) = change.swaps
    _, result = activation_ranges(model, samples, limit=200)["relu"]
    assert swap.low == 0
    assert swap.high == pytest.approx(result.quantile(0.99))
    assert 0 < swap.high < result.maximum
    assert 0.2 < result.share_of_zeros < 0.8
    (changed,) = find_activations(rewritten_model(model, [change]).graph())
    assert changed.op == "ClippedRelu"


def test_samples_without_finite_numbers_are_to_be_replaced(mlp_path: Path, tmp_path: Path) -> None:
    model = open_model(mlp_path)
    np.savez(tmp_path / "data.npz", x=np.full((2, 16), np.nan, np.float32))
    calibration = Calibration(model, load_samples(tmp_path / "data.npz", model.inputs))
    params = ReplaceActivationParams("Relu", "Clip")
    with pytest.raises(LayerSkipped, match="no sample gives it finite numbers") as told:
        METHOD.plan(model.graph(), params, GraphContext(calibration.ranges))
    assert told.value.do == "load other samples"


def test_measuring_tells_how_far_it_is_and_hears_a_cancel(mlp_path: Path, tmp_path: Path) -> None:
    model = open_model(mlp_path)
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(1).normal(0, 1, (20, 16)).astype(np.float32))
    calibration = Calibration(model, load_samples(tmp_path / "data.npz", model.inputs))
    recipe = Recipe.parse("featherweight: 1\ngraph:\n  - replace_activation: {from: Relu, to: Clip}\n")
    stop, told = threading.Event(), []

    def hear(progress: Progress) -> None:
        told.append(progress.text)
        if progress.text == "calibrating, sample 3 of 20":
            stop.set()

    with pytest.raises(Cancelled):
        rewrite(model, recipe, calibration, Reporter(hear, stop))
    assert told[-3:] == [f"calibrating, sample {n} of 20" for n in (1, 2, 3)]


@pytest.mark.parametrize("shown", [[], ["inner"]])
@pytest.mark.parametrize(("ops", "to"), [(("Elu", "Elu"), "Identity"), (("Softplus", "Tanh"), "Relu"),
                                         (("Tanh", "Tanh"), "HardTanh"), (("Softplus", "Softplus"), "HardSwish")])
def test_two_that_follow_each_other(
    make_model, tmp_path: Path, ops: tuple[str, str], to: str, shown: list[str]
) -> None:
    nodes = [helper.make_node(ops[0], ["x"], ["inner"]), helper.make_node(ops[1], ["inner"], ["y"])]
    outputs = {name: ["n", 4] for name in ["y", *shown]}
    model = open_model(make_model(nodes, {}, {"x": ["n", 4]}, outputs, opset=17))
    change = METHOD.plan(model.graph(), ReplaceActivationParams(to=to, nodes="re:.*"), GraphContext())
    assert [swap.old for swap in change.swaps] == list(ops)
    changed = rewritten_model(model, [change])
    np.testing.assert_allclose(ran(changed, tmp_path), FUNCTIONS[to](FUNCTIONS[to](X)), atol=1e-6)
    assert [value.name for value in changed.graph().graph.outputs] == ["y", *shown]


def test_the_mean_stays_where_it_was(make_model, tmp_path: Path) -> None:
    model = single(make_model, "gelu as exported")
    np.savez(tmp_path / "data.npz", x=X)
    samples = load_samples(tmp_path / "data.npz", model.inputs)
    params = ReplaceActivationParams("Gelu", "Relu", keep_mean=True)
    with pytest.raises(LayerSkipped, match="samples"):
        METHOD.plan(model.graph(), params, GraphContext())
    change = METHOD.plan(model.graph(), params, GraphContext(Calibration(model, samples, limit=100).ranges))
    before, after = ran(model, tmp_path), ran(rewritten_model(model, [change]), tmp_path)
    assert after.mean() == pytest.approx(before.mean(), abs=2e-3)  # half a bin
    np.testing.assert_allclose(after, np.maximum(X, 0) + change.swaps[0].shift, atol=1e-6)
    assert change.swaps[0].shift < -0.01
    assert "Gelu -> Relu - 0.0" in change.lines()[0]


def test_any_leaves_gates_answers_and_cheap_ones(make_model) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["1"]), helper.make_node("Gelu", ["1"], ["2"]),
        helper.make_node("Sigmoid", ["2"], ["3"]), helper.make_node("Mul", ["3", "x"], ["4"]),
        helper.make_node("Relu", ["4"], ["5"]), helper.make_node("MatMul", ["5", "w"], ["6"]),
        helper.make_node("Sigmoid", ["6"], ["y"]),
    ]  # fmt: skip
    path = make_model(nodes, {"w": np.eye(4, dtype=np.float32)}, {"x": ["n", 4]}, {"y": ["n", 4]})
    graph = open_model(path).graph()
    change = METHOD.plan(graph, ReplaceActivationParams(), GraphContext())
    assert [swap.old for swap in change.swaps] == ["Gelu"]
    named = METHOD.plan(graph, ReplaceActivationParams("Sigmoid", "HardSigmoid"), GraphContext())
    assert len(named.swaps) == 2
    key = named.swaps[1].key
    one = METHOD.plan(graph, ReplaceActivationParams("Sigmoid", "HardSigmoid", nodes=key), GraphContext())
    assert one.swaps == named.swaps[1:]
    same = METHOD.plan(graph, ReplaceActivationParams("Sigmoid", "HardSigmoid", nodes="re:.*:3$"), GraphContext())
    assert same.swaps == named.swaps[:1]


@pytest.mark.parametrize(("params", "says"), [
    (ReplaceActivationParams("Mish"), "has no Mish; it has 1 Relu"),
    (ReplaceActivationParams("any"), "no activation that this could replace; it has 1 Relu"),
    (ReplaceActivationParams("Relu", "Relu"), "it is Relu already"),
    (ReplaceActivationParams("Relu", "HardSigmoid"), "lies between 0 and 1, which Relu does not"),
    (ReplaceActivationParams("Relu", "Relu6", nodes="other"), "no Relu at other"),
    (ReplaceActivationParams("Relu", "Relu6", nodes="re:(a+)+"), "take forever"),
])  # fmt: skip
def test_what_makes_no_sense_is_told(mlp_path: Path, params: ReplaceActivationParams, says: str) -> None:
    with pytest.raises(LayerSkipped) as told:
        METHOD.plan(open_model(mlp_path).graph(), params, GraphContext())
    assert says in str(told.value)


def test_a_model_without_activations_has_nothing_to_do(make_model) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = make_model([node], {"w": np.eye(4, dtype=np.float32)}, {"x": ["n", 4]}, {"y": ["n", 4]})
    assert METHOD.plan(open_model(path).graph(), ReplaceActivationParams(), GraphContext()) is None


def test_nothing_stands_for_itself() -> None:
    assert all(why_not(name, name) for name in TO)
