"""Attention, MLPs and recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.model.coupling import find_groups
from core.model.readers import open_model

node = helper.make_node
Make = Callable[..., Path]


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 0.4, shape).astype(np.float32)


def attention(make_model: Make, *, packed: bool) -> Path:
    """Four heads of six, behind a LayerNorm and in front of a residual sum; a Gelu MLP behind."""
    weights = {"scale": np.float32(6**-0.5), "norm": np.ones(24, np.float32), "shift": np.zeros(24, np.float32),
               "out": random(24, 24), "up": random(24, 32), "up.bias": random(32), "down": random(32, 24),
               "heads": np.array([0, 0, 4, 6]), "whole": np.array([0, 0, 24])}  # fmt: skip
    nodes = [node("LayerNormalization", ["x", "norm", "shift"], ["n"], name="ln")]
    if packed:
        weights |= {"qkv": random(24, 72), "three": np.array([0, 0, 3, 24])}
        weights |= {f"pick{i}": np.array(i) for i in range(3)}
        nodes += [node("MatMul", ["n", "qkv"], ["p"]), node("Reshape", ["p", "three"], ["r"])]
        nodes += [node("Gather", ["r", f"pick{i}"], [name], axis=2) for i, name in enumerate("qkv")]
    else:
        weights |= {f"w{name}": random(24, 24) for name in "qkv"}
        nodes += [node("MatMul", ["n", f"w{name}"], [name]) for name in "qkv"]
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [node("Reshape", [name, "heads"], [f"{name}r"])]
        nodes += [node("Transpose", [f"{name}r"], [f"{name}t"], perm=perm)]
    nodes += [
        node("MatMul", ["qt", "kt"], ["s"]), node("Mul", ["s", "scale"], ["scaled"]),
        node("Softmax", ["scaled"], ["weights"], axis=-1), node("MatMul", ["weights", "vt"], ["mixed"]),
        node("Transpose", ["mixed"], ["back"], perm=[0, 2, 1, 3]), node("Reshape", ["back", "whole"], ["joined"]),
        node("MatMul", ["joined", "out"], ["o"]), node("Add", ["x", "o"], ["sum"]),
        node("MatMul", ["sum", "up"], ["u"]), node("Add", ["u", "up.bias"], ["ub"]), node("Gelu", ["ub"], ["act"]),
        node("MatMul", ["act", "down"], ["d"]), node("Add", ["sum", "d"], ["y"]),
    ]  # fmt: skip
    return make_model(nodes, weights, {"x": ["batch", "length", 24]}, {"y": ["batch", "length", 24]})


@pytest.mark.parametrize("packed", [False, True])
def test_whole_heads_and_hidden_units_go(packed: bool, make_model: Make, cut_equals_mask) -> None:
    path = attention(make_model, packed=packed)
    coupling = find_groups(open_model(path).graph())
    group = coupling.group_of("qkv" if packed else "wv")
    assert group is not None
    assert (group.units, group.heads) == (4, True)
    hidden = coupling.group_of("up")
    assert hidden is not None
    assert (hidden.units, hidden.heads) == (32, False)
    proto = cut_equals_mask(path, {"x": random(2, 5, 24)})
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert shapes["out"] == (12, 24)
    assert shapes["up"] == (24, 16)
    assert shapes["qkv" if packed else "wq"] == (24, 36 if packed else 12)


def test_the_residual_stream_stays_and_says_why(make_model: Make) -> None:
    coupling = find_groups(open_model(attention(make_model, packed=False)).graph())
    assert coupling.group_of("out") is None
    assert "input of the model" in coupling.why_not("out") or "output 'y'" in coupling.why_not("out")


def recurrent(make_model: Make, op: str, gates: int, directions: int) -> Path:
    hidden, inputs = 8, 6
    weights = {"enter": random(5, inputs), "w": random(directions, gates * hidden, inputs),
               "r": random(directions, gates * hidden, hidden), "b": random(directions, 2 * gates * hidden),
               "h0": random(directions, 1, hidden), "fc": random(directions * hidden, 3),
               "target": np.array([0, 0, directions * hidden])}  # fmt: skip
    way = "bidirectional" if directions == 2 else "forward"
    nodes = [node("MatMul", ["x", "enter"], ["e"]),
             node(op, ["e", "w", "r", "b", "", "h0"], ["s"], hidden_size=hidden, direction=way),
             node("Transpose", ["s"], ["t"], perm=[0, 2, 1, 3]), node("Reshape", ["t", "target"], ["f"]),
             node("MatMul", ["f", "fc"], ["y"])]  # fmt: skip
    return make_model(nodes, weights, {"x": ["time", 1, 5]}, {"y": ["time", 1, 3]})


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_hidden_units_go_with_all_their_gates(op, gates, directions, make_model: Make, cut_equals_mask) -> None:
    path = recurrent(make_model, op, gates, directions)
    proto = cut_equals_mask(path, {"x": random(7, 1, 5)})
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert shapes["w"] == (directions, gates * 4, 3)
    assert shapes["r"] == (directions, gates * 4, 4)
    assert shapes["b"] == (directions, 2 * gates * 4)
    assert shapes["h0"] == (directions, 1, 4)
    assert shapes["fc"] == (directions * 4, 3)
    (layer,) = [n for n in proto.graph.node if n.op_type == op]
    assert {a.name: a.i for a in layer.attribute}["hidden_size"] == 4


def test_peepholes_go_with_their_units(make_model: Make, cut_equals_mask) -> None:
    weights = {"w": random(1, 32, 5), "r": random(1, 32, 8), "b": random(1, 64), "p": random(1, 24), "fc": random(8, 3)}
    nodes = [node("LSTM", ["x", "w", "r", "b", "", "", "", "p"], ["s"], hidden_size=8),
             node("Squeeze", ["s", "one"], ["t"]), node("MatMul", ["t", "fc"], ["y"])]  # fmt: skip
    path = make_model(nodes, weights | {"one": np.array([1])}, {"x": ["time", 1, 5]}, {"y": ["time", 1, 3]})
    proto = cut_equals_mask(path, {"x": random(6, 1, 5)})
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert shapes["p"] == (1, 12)


def test_an_embeddings_columns_can_go_but_not_its_rows(make_model: Make, cut_equals_mask) -> None:
    nodes = [node("Cast", ["x"], ["rows"], to=7), node("Gather", ["table", "rows"], ["e"], axis=0),
             node("MatMul", ["e", "w"], ["y"])]  # fmt: skip
    path = make_model(nodes, {"table": random(10, 6), "w": random(6, 8)}, {"x": ["batch"]}, {"y": ["batch", 8]})
    group = find_groups(open_model(path).graph()).group_of("table")
    assert group is not None
    assert [(member.tensor, member.axis) for member in group.members] == [("table", 1), ("w", 0)]
    cut_equals_mask(path, {"x": np.float32([0, 3, 7])})
