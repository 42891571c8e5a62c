"""A network with everything that couples convolutions, cut by half: it runs and equals the masked original."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from core.model.coupling import find_groups
from core.model.readers import open_model

node = helper.make_node


def branched(make_model: Callable[..., Path]) -> Path:
    """Residual sum, concat, depthwise and grouped Conv, split, batch norms, ConvTranspose, flatten to Gemm."""
    random = np.random.default_rng(7)
    shapes = {"stem": (16, 3, 3, 3), "left": (16, 16, 3, 3), "deep": (16, 1, 3, 3), "wide": (24, 16, 1, 1),
              "mix": (24, 40, 1, 1), "grouped": (24, 6, 3, 3), "up": (24, 12, 2, 2), "one": (6, 6, 3, 3),
              "two": (10, 6, 1, 1), "dense": (20, 16 * 16 * 16), "last": (5, 20)}  # fmt: skip
    weights = {name: random.normal(0, 0.2, shape) for name, shape in shapes.items()}
    for name, size in (("bn1", 16), ("bn2", 24)):
        for part, spread in (("scale", 0.3), ("shift", 0.3), ("mean", 0.2)):
            weights[f"{name}.{part}"] = random.normal(1 if part == "scale" else 0, spread, size)
        weights[f"{name}.variance"] = random.uniform(0.5, 2, size)
    weights |= {"stem.bias": random.normal(0, 0.2, 16), "dense.bias": random.normal(0, 0.2, 20),
                "slope": random.uniform(0.1, 0.3, (1, 24, 1, 1))}  # fmt: skip
    floats = {name: value.astype(np.float32) for name, value in weights.items()}
    floats["parts"] = np.array([6, 6])
    pad = [1, 1, 1, 1]
    nodes = [
        node("Conv", ["x", "stem", "stem.bias"], ["a"], name="stem", pads=pad),
        node("BatchNormalization", ["a", "bn1.scale", "bn1.shift", "bn1.mean", "bn1.variance"], ["b"], name="bn1"),
        node("Relu", ["b"], ["c"], name="relu"),
        node("Conv", ["c", "left"], ["d"], name="left", pads=pad),
        node("Add", ["c", "d"], ["e"], name="residual"),
        node("Conv", ["e", "deep"], ["f"], name="deep", pads=pad, group=16),
        node("Conv", ["f", "wide"], ["g"], name="wide"),
        node("PRelu", ["g", "slope"], ["h"], name="prelu"),
        node("Concat", ["h", "e"], ["i"], name="concat", axis=1),
        node("Conv", ["i", "mix"], ["i2"], name="mix"),
        node("Conv", ["i2", "grouped"], ["j"], name="grouped", pads=pad, group=4),
        node("BatchNormalization", ["j", "bn2.scale", "bn2.shift", "bn2.mean", "bn2.variance"], ["k"], name="bn2"),
        node("ConvTranspose", ["k", "up"], ["l"], name="up", strides=[2, 2]),
        node("Split", ["l", "parts"], ["m", "n"], name="split", axis=1),
        node("Conv", ["m", "one"], ["o"], name="one", pads=pad),
        node("Conv", ["n", "two"], ["p"], name="two"),
        node("Concat", ["o", "p"], ["q"], name="join", axis=1),
        node("Flatten", ["q"], ["r"], name="flatten"),
        node("Gemm", ["r", "dense", "dense.bias"], ["s"], name="dense", transB=1),
        node("Relu", ["s"], ["t"], name="relu2"),
        node("Gemm", ["t", "last"], ["y"], name="last", transB=1),
    ]
    return make_model(nodes, floats, {"x": ["batch", 3, 8, 8]}, {"y": ["batch", 5]})


def test_half_of_everything_goes_and_the_rest_gives_what_it_gave(make_model, cut_equals_mask) -> None:
    path = branched(make_model)
    feed = {"x": np.random.default_rng(1).normal(size=(3, 3, 8, 8)).astype(np.float32)}
    proto = cut_equals_mask(path, feed)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert shapes["stem"] == (8, 3, 3, 3)
    assert shapes["left"] == (8, 8, 3, 3)
    assert shapes["deep"] == (8, 1, 3, 3)
    assert shapes["bn1.variance"] == (8,)
    assert shapes["slope"] == (1, 12, 1, 1)
    assert shapes["mix"] == (12, 20, 1, 1)
    assert shapes["grouped"] == (12, 3, 3, 3)
    assert shapes["dense"] == (10, 8 * 256)
    assert shapes["last"] == (5, 10)
    assert {a.name: a.i for n in proto.graph.node if n.name == "deep" for a in n.attribute}["group"] == 8
    onnx.shape_inference.infer_shapes(proto, strict_mode=True)


def test_groups_say_what_goes_together(make_model) -> None:
    coupling = find_groups(open_model(branched(make_model)).graph())
    residual = coupling.group_of("stem")
    assert residual is not None
    assert residual is coupling.group_of("left") is coupling.group_of("deep")
    assert {member.tensor for member in residual.members} >= {"stem", "left", "deep", "wide", "bn1.scale", "mix"}
    assert coupling.why_not("stem") == ""
    assert "output 'y'" in coupling.why_not("last")
    assert coupling.group_of("last") is None


def test_a_split_parts_a_layer_into_groups_that_are_cut_apart(make_model) -> None:
    coupling = find_groups(open_model(branched(make_model)).graph())
    (whole,) = coupling.groups_of("up")
    assert whole.units == 12
    consumers = {member.tensor: (member.unit_of >= 0).sum() for member in whole.members if member.tensor != "up"}
    assert consumers == {"one": 6, "two": 6}


def test_the_graph_is_found_again_in_any_copy(make_model) -> None:
    model = open_model(branched(make_model))
    first, second = find_groups(model.graph()), find_groups(model.graph())
    assert [group.key for group in first.groups] == [group.key for group in second.groups]
    for one, other in zip(first.groups, second.groups, strict=True):
        for a, b in zip(one.members, other.members, strict=True):
            np.testing.assert_array_equal(a.unit_of, b.unit_of)


def test_finding_groups_changes_nothing(make_model) -> None:
    import onnx_ir as ir

    model = open_model(branched(make_model))
    graph = model.graph()
    before = ir.serde.serialize_model(graph).SerializeToString()
    find_groups(graph)
    assert ir.serde.serialize_model(graph).SerializeToString() == before


def test_weights_are_cut_where_they_lie(make_model, cut_equals_mask) -> None:
    path = branched(make_model)
    original = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    feed = {"x": np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)}
    proto = cut_equals_mask(path, feed, share=0.25)
    stem = next(numpy_helper.to_array(t) for t in proto.graph.initializer if t.name == "stem")
    rows = {row.tobytes() for row in original["stem"]}
    assert len(stem) == 12
    assert all(row.tobytes() in rows for row in stem)
