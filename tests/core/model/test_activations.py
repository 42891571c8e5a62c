"""Activations are found whatever nodes spell them out, and nothing else is taken for one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, helper

from core.model.activations import Activation, find_activations
from core.model.readers import open_model

SQRT2, TANH = 2**0.5, (2 / np.pi) ** 0.5
N = helper.make_node

SPELLED: dict[str, tuple[str, list[NodeProto], dict[str, float]]] = {
    "gelu as exported": ("Gelu", [
        N("Div", ["x", "a"], ["1"]), N("Erf", ["1"], ["2"]), N("Add", ["2", "b"], ["3"]), N("Mul", ["x", "3"], ["4"]),
        N("Mul", ["4", "c"], ["y"]),
    ], {"a": SQRT2, "b": 1, "c": 0.5}),
    "gelu, halved first": ("Gelu", [
        N("Mul", ["x", "c"], ["0"]), N("Mul", ["x", "a"], ["1"]), N("Erf", ["1"], ["2"]), N("Add", ["b", "2"], ["3"]),
        N("Mul", ["3", "0"], ["y"]),
    ], {"a": 1 / SQRT2, "b": 1, "c": 0.5}),
    "gelu by tanh": ("TanhGelu", [
        N("Pow", ["x", "p"], ["1"]), N("Mul", ["1", "k"], ["2"]), N("Add", ["x", "2"], ["3"]),
        N("Mul", ["3", "s"], ["4"]), N("Tanh", ["4"], ["5"]), N("Add", ["5", "b"], ["6"]), N("Mul", ["x", "6"], ["7"]),
        N("Mul", ["7", "c"], ["y"]),
    ], {"p": 3, "k": 0.044715, "s": TANH, "b": 1, "c": 0.5}),
    "silu": ("SiLU", [N("Sigmoid", ["x"], ["1"]), N("Mul", ["1", "x"], ["y"])], {}),
    "quick gelu": ("QuickGelu", [
        N("Mul", ["x", "a"], ["0"]), N("Sigmoid", ["0"], ["1"]), N("Mul", ["x", "1"], ["y"]),
    ], {"a": 1.702}),
    "mish": ("Mish", [N("Softplus", ["x"], ["1"]), N("Tanh", ["1"], ["2"]), N("Mul", ["x", "2"], ["y"])], {}),
    "hard swish by clip": ("HardSwish", [
        N("Add", ["x", "t"], ["1"]), N("Clip", ["1", "z", "s"], ["2"]), N("Mul", ["x", "2"], ["3"]),
        N("Div", ["3", "s"], ["y"]),
    ], {"t": 3, "z": 0, "s": 6}),
    "hard swish by gate": ("HardSwish", [
        N("HardSigmoid", ["x"], ["1"], alpha=1 / 6), N("Mul", ["x", "1"], ["y"]),
    ], {}),
    "sigmoid by exp": ("Sigmoid", [
        N("Neg", ["x"], ["1"]), N("Exp", ["1"], ["2"]), N("Add", ["2", "b"], ["3"]), N("Div", ["b", "3"], ["y"]),
    ], {"b": 1}),
    "relu by max": ("Relu", [N("Max", ["x", "z"], ["y"])], {"z": 0}),
    "relu6": ("Relu6", [N("Clip", ["x", "z", "s"], ["y"])], {"z": 0, "s": 6}),
    "softplus": ("Softplus", [N("Softplus", ["x"], ["y"])], {}),
}  # fmt: skip


def found_in(make_model, nodes: list[NodeProto], numbers: dict[str, float], **weights) -> tuple[Activation, ...]:
    tensors = {name: np.float32(value) for name, value in numbers.items()} | weights
    return find_activations(open_model(make_model(nodes, tensors, {"x": ["n", 4]}, {"y": ["n", 4]})).graph())


@pytest.mark.parametrize("how", SPELLED)
def test_is_found_whatever_spells_it_out(make_model, how: str) -> None:
    op, nodes, numbers = SPELLED[how]
    (found,) = found_in(make_model, nodes, numbers)
    assert (found.op, found.input, found.output) == (op, "x", "y")
    assert len(found.nodes) == len(nodes)
    assert found.key == found.nodes[-1]
    assert found.answers


def test_numbers_that_are_not_quite_right_make_no_gelu(make_model) -> None:
    _, nodes, numbers = SPELLED["gelu as exported"]
    assert found_in(make_model, nodes, numbers | {"a": 1.5}) == ()


def test_a_part_that_something_else_reads_is_not_swallowed(make_model) -> None:
    """x * sigmoid(x) + sigmoid(x): the sigmoid stays an activation of its own, and a gate."""
    nodes = [N("Sigmoid", ["x"], ["1"]), N("Mul", ["x", "1"], ["2"]), N("Add", ["2", "1"], ["y"])]
    (found,) = found_in(make_model, nodes, {})
    assert (found.op, found.gate, found.inner) == ("Sigmoid", True, False)


def test_a_sigmoid_that_multiplies_is_a_gate_and_the_last_one_an_answer(make_model) -> None:
    nodes = [
        N("MatMul", ["x", "w"], ["1"], name="fc"), N("Sigmoid", ["1"], ["2"]), N("Mul", ["x", "2"], ["3"]),
        N("Tanh", ["3"], ["4"]), N("MatMul", ["4", "v"], ["5"]), N("Sigmoid", ["5"], ["y"]),
    ]  # fmt: skip
    weights = {name: np.ones((4, 4), np.float32) for name in "wv"}
    found = found_in(make_model, nodes, {}, **weights)
    assert [(a.op, a.gate, a.answers, a.layer) for a in found] == [
        ("Sigmoid", True, False, "w"), ("Tanh", False, False, ""), ("Sigmoid", False, True, "v"),
    ]  # fmt: skip


def test_a_guard_before_a_root_is_no_activation(make_model) -> None:
    nodes = [N("Max", ["x", "z"], ["1"]), N("Add", ["1", "e"], ["2"]), N("Sqrt", ["2"], ["y"])]
    assert found_in(make_model, nodes, {"z": 0, "e": 1e-6}) == ()


def test_arithmetic_with_tensors_is_no_activation(make_model) -> None:
    assert found_in(make_model, [N("Add", ["x", "b"], ["1"]), N("Mul", ["1", "x"], ["y"])], {}, b=np.ones(4, "f")) == ()


@pytest.mark.models
@pytest.mark.parametrize(("name", "right"), [
    ("vit_digits", {("Gelu", True): 4}),
    ("minilm", {("Gelu", True): 6}),
    ("magika", {("TanhGelu", True): 2}),
    ("ppocr_cls", {("HardSwish", True): 18, ("Relu", True): 15, ("HardSigmoid", False): 9}),
    ("ppocr_det", {("HardSwish", True): 24, ("Relu", True): 12, ("HardSigmoid", False): 10, ("Sigmoid", False): 1}),
    ("ppocr_rec", {("HardSwish", True): 28, ("SiLU", True): 7, ("Relu", True): 2, ("HardSigmoid", False): 2}),
    ("silero_vad", {("Relu", True): 10, ("Sigmoid", False): 2}),
])  # fmt: skip
def test_public_models(models_dir: Path, name: str, right: dict) -> None:
    found = find_activations(open_model(models_dir / name / "model.onnx").graph())
    assert Counter((a.op, a.inner) for a in found) == right
