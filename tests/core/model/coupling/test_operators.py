"""What single operators do to channels: each small network is cut by half and compared with its masked original."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.model.coupling import find_groups
from core.model.readers import open_model

node = helper.make_node
Make = Callable[..., Path]
INT64_MAX = 2**63 - 1


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape) + len(shape)).normal(0, 0.4, shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def between(make_model: Make, middle: list, weights: dict, after: int, opset: int = 20, channels: int = 8) -> Path:
    """A Conv, some operators from h to g, and a 1x1 Conv that reads `after` channels."""
    nodes = [node("Conv", ["x", "first"], ["h"], name="first"), *middle,
             node("Conv", ["g", "second"], ["y"], name="second")]  # fmt: skip
    weights = {"first": random(channels, 3, 3, 3), "second": random(4, after, 1, 1), **weights}
    return make_model(nodes, weights, {"x": ["batch", 3, 8, 8]}, {"y": ["batch", 4, "height", "width"]}, opset=opset)


FEED = {"x": random(2, 3, 8, 8)}

PASSING = {
    "activations": ([node("HardSwish", ["h"], ["i"]), node("Clip", ["i", "", "six"], ["g"])],
                    {"six": np.float32(6)}, 8),
    "pools": ([node("MaxPool", ["h"], ["i"], kernel_shape=[2, 2], strides=[2, 2]),
               node("AveragePool", ["i"], ["g"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])], {}, 8),
    "resize": ([node("Resize", ["h", "", "scales"], ["g"])], {"scales": np.float32([1, 1, 2, 2])}, 8),
    "resize to sizes": ([node("Resize", ["h", "", "", "sizes"], ["g"])], {"sizes": ints(2, 8, 12, 12)}, 8),
    "pad": ([node("Pad", ["h", "pads"], ["g"])], {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1)}, 8),
    "instance norm": ([node("InstanceNormalization", ["h", "s", "b"], ["g"])], {"s": random(8), "b": random(8)}, 8),
    "slices": ([node("Slice", ["h", "a", "b", "axis"], ["i"]), node("Slice", ["h", "b", "c", "axis"], ["j"]),
                node("Add", ["i", "j"], ["g"])],
               {"a": ints(0), "b": ints(4), "c": ints(INT64_MAX), "axis": ints(1)}, 4),
    "gate": ([node("GlobalAveragePool", ["h"], ["p"]), node("Conv", ["p", "down"], ["q"], name="down"),
              node("Relu", ["q"], ["r"]), node("Conv", ["r", "up"], ["s"], name="up"),
              node("Sigmoid", ["s"], ["t"]), node("Mul", ["h", "t"], ["g"])],
             {"down": random(4, 8, 1, 1), "up": random(8, 4, 1, 1)}, 8),
    "same value twice": ([node("Concat", ["h", "h"], ["g"], axis=1)], {}, 16),
    "split evenly": ([node("Split", ["h"], ["i", "j"], axis=1, num_outputs=2), node("Mul", ["i", "j"], ["g"])], {}, 4),
    "depth to space": ([node("DepthToSpace", ["h"], ["g"], blocksize=2)], {}, 2),
    "depth to space, columns first": ([node("DepthToSpace", ["h"], ["g"], blocksize=2, mode="CRD")], {}, 2),
    "expanded constant": ([node("Expand", ["c", "shape"], ["e"]), node("Add", ["h", "e"], ["g"])],
                          {"c": random(1, 1, 1, 1), "shape": ints(1, 8, 6, 6)}, 8),
    "shuffle": ([node("Reshape", ["h", "apart"], ["i"]), node("Transpose", ["i"], ["j"], perm=[0, 2, 1, 3, 4]),
                 node("Reshape", ["j", "whole"], ["g"])],
                {"apart": ints(0, 2, 4, 6, 6), "whole": ints(0, 8, 6, 6)}, 8),
    "where": ([node("Greater", ["h", "zero"], ["m"]), node("Where", ["m", "h", "c"], ["g"])],
              {"zero": np.float32(0), "c": random(8, 1, 1)}, 8),
    "shapes that say the channels": (
        [node("Shape", ["h"], ["s"]), node("Gather", ["s", "one"], ["n"]), node("Gather", ["s", "zero"], ["m"]),
         node("Concat", ["m", "n", "rest"], ["flat"], axis=0), node("Reshape", ["h", "flat"], ["i"]),
         node("Reshape", ["i", "s"], ["j"]), node("Slice", ["j", "zero", "n", "one"], ["k"]),
         node("GlobalAveragePool", ["k"], ["l"]), node("Expand", ["l", "s"], ["g"])],
        {"one": ints(1), "zero": ints(0), "rest": ints(-1)}, 8),
}  # fmt: skip


@pytest.mark.parametrize("case", PASSING)
def test_channels_pass(case: str, make_model: Make, cut_equals_mask) -> None:
    middle, weights, after = PASSING[case]
    path = between(make_model, middle, weights, after)
    coupling = find_groups(open_model(path).graph())
    assert coupling.group_of("first") is not None, coupling.why_not("first")
    proto = cut_equals_mask(path, FEED)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert shapes["first"][0] == 4
    assert shapes["second"][1] == after // 2


COUNT = [node("Shape", ["h"], ["s4"]), node("Gather", ["s4", "one"], ["n"])]


def counted(name: str) -> onnx.GraphProto:
    """A branch that makes floats of the number of channels."""
    result = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
    return helper.make_graph([node("Cast", ["n"], [name], to=TensorProto.FLOAT)], name, [], [result])


STAYING = {
    "Softmax": ([node("Softmax", ["h"], ["g"], axis=1, name="weigh")], {}, 8, "Softmax 'weigh' weighs these channels"),
    "LRN": ([node("LRN", ["h"], ["g"], size=3, name="lrn")], {}, 8, "averages over these channels"),
    "ReduceMean": ([node("ReduceMean", ["h", "axes"], ["g"], name="mean")], {"axes": ints(1)}, 1,
                   "ReduceMean 'mean' makes one number of these channels"),
    "Gather": ([node("Gather", ["h", "rows"], ["g"], axis=1, name="pick")], {"rows": ints(0, 3)}, 2, "by number"),
    "CumSum": ([node("CumSum", ["h", "axis"], ["g"])], {"axis": np.array(1)}, 8, "adds these channels up"),
    "an operator without a rule": ([node("Det", ["h"], ["d"], name="det"), node("Shape", ["d"], ["n"]),
                                    node("ConstantOfShape", ["n"], ["k"]), node("ReduceSum", ["k"], ["z"]),
                                    node("Add", ["h", "z"], ["g"])], {}, 8, "Det 'det' stands behind it"),
    "padded channels": ([node("Pad", ["h", "pads"], ["g"], name="pad")], {"pads": ints(0, 1, 0, 0, 0, 1, 0, 0)}, 10,
                        "Pad 'pad' adds to these channels"),
    "their number is computed with": (
        [*COUNT, node("Cast", ["n"], ["f"], to=TensorProto.FLOAT), node("Sqrt", ["f"], ["r"]),
         node("Div", ["h", "r"], ["g"])], {"one": ints(1)}, 8, "the graph computes with the number of these channels"),
    "their number is computed with in a branch": (
        [*COUNT, node("If", ["yes"], ["b"], then_branch=counted("then"), else_branch=counted("else")),
         node("Add", ["h", "b"], ["g"])],
        {"one": ints(1), "yes": np.array(True)}, 8, "the graph computes with the number of these channels"),
    "their number says how something else is cut": (
        [*COUNT, node("Slice", ["table", "zero", "n", "one"], ["t"]), node("ReduceSum", ["t"], ["u"]),
         node("Add", ["h", "u"], ["g"])],
        {"one": ints(1), "zero": ints(0), "table": random(2, 9)}, 8, "computes what it picks"),
    "their number is the shape of what stays": (
        [*COUNT, node("Concat", ["n", "rest"], ["s"], axis=0), node("Reshape", ["x", "s"], ["t"]),
         node("ReduceMean", ["t", "one"], ["u"], keepdims=0), node("Unsqueeze", ["u", "last"], ["v"]),
         node("Add", ["h", "v"], ["g"])],
        {"one": ints(1), "rest": ints(-1), "last": ints(1, 2)}, 8, "it meets an axis of a size that cannot change"),
}  # fmt: skip


@pytest.mark.parametrize("case", STAYING)
def test_channels_stay_and_the_reason_names_the_operator(case: str, make_model: Make) -> None:
    middle, weights, after, reason = STAYING[case]
    coupling = find_groups(open_model(between(make_model, middle, weights, after)).graph())
    assert coupling.group_of("first") is None
    assert reason in coupling.why_not("first")


def test_a_model_without_names_and_shapes_is_followed_all_the_same(make_model, tmp_path: Path, cut_equals_mask) -> None:
    path = between(make_model, [node("Relu", ["h"], ["g"])], {}, 8)
    proto = onnx.load(path)
    del proto.graph.value_info[:]
    for one in proto.graph.node:
        one.name = ""
    onnx.save(proto, tmp_path / "bare.onnx")
    cut_equals_mask(tmp_path / "bare.onnx", FEED)


def test_the_number_of_channels_is_an_output(make_model: Make) -> None:
    path = between(make_model, [node("Relu", ["h"], ["g"]), node("Shape", ["h"], ["sizes"])], {}, 8)
    proto = onnx.load(path)
    proto.graph.output.append(helper.make_tensor_value_info("sizes", TensorProto.INT64, [4]))
    onnx.save(proto, path)
    assert "the number of these channels" in find_groups(open_model(path).graph()).why_not("first")


@pytest.mark.parametrize("declared", [True, False])
def test_the_mask_has_the_type_of_what_it_masks(declared: bool, tmp_path: Path, cut_equals_mask) -> None:
    """Also where no type is declared and none of what is multiplied is stored: two computed factors."""
    weights = {"a": random(6, 8), "b": random(6, 8)}
    nodes = [node("MatMul", ["x", "a"], ["p"]), node("MatMul", ["x", "b"], ["q"]), node("Relu", ["q"], ["r"]),
             node("Transpose", ["r"], ["t"], perm=[1, 0]), node("MatMul", ["p", "t"], ["y"])]  # fmt: skip
    inputs, outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape)
                       for name, shape in (("x", ["n", 6]), ("y", ["n", "n"])))  # fmt: skip
    stored = [numpy_helper.from_array(value.astype(np.float16), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "half", [inputs], [outputs], stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(proto) if declared else proto, tmp_path / "half.onnx")
    cut_equals_mask(tmp_path / "half.onnx", {"x": random(4, 6).astype(np.float16)}, tolerance=2e-3)


def test_weights_that_are_constant_nodes_are_cut(tmp_path: Path, cut_equals_mask) -> None:
    constants = {"w": random(8, 3, 3, 3), "b": random(8), "v": random(4, 8, 1, 1), "shape": ints(1, 8, 1, 1)}
    nodes = [node("Constant", [], [name], value=numpy_helper.from_array(value)) for name, value in constants.items()]
    nodes += [node("Conv", ["x", "w"], ["h"]), node("Reshape", ["b", "shape"], ["bias"]),
              node("Add", ["h", "bias"], ["g"]), node("Conv", ["g", "v"], ["y"])]  # fmt: skip
    graph = helper.make_graph(nodes, "constants",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, None, None])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, None, None])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "c.onnx")
    proto = cut_equals_mask(tmp_path / "c.onnx", FEED)
    assert not proto.graph.initializer or len(proto.graph.initializer) < 3


def test_a_weight_that_two_layers_share_keeps_both(make_model: Make, cut_equals_mask) -> None:
    nodes = [node("MatMul", ["x", "a"], ["h"]), node("Relu", ["h"], ["i"]), node("MatMul", ["i", "tied"], ["j"]),
             node("Relu", ["j"], ["k"]), node("MatMul", ["k", "tied"], ["l"]),
             node("MatMul", ["l", "b"], ["y"])]  # fmt: skip
    path = make_model(nodes, {"a": random(6, 8), "tied": random(8, 8), "b": random(8, 3)}, {"x": ["batch", 6]},
                      {"y": ["batch", 3]})  # fmt: skip
    proto = cut_equals_mask(path, {"x": random(4, 6)})
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert shapes["tied"] == (4, 4)


def test_what_lies_in_branches_stays(make_model: Make) -> None:
    inner = helper.make_graph([node("Relu", ["h"], ["t"])], "then", [],
                              [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)])
    other = helper.make_graph([node("Neg", ["h"], ["e"])], "else", [],
                              [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)])
    middle = [node("If", ["yes"], ["g"], then_branch=inner, else_branch=other, name="choice")]
    path = between(make_model, middle, {"yes": np.array(True)}, 8)
    coupling = find_groups(open_model(path).graph())
    assert "If 'choice' stands behind it" in coupling.why_not("first")


def test_a_size_that_the_file_states_in_a_shared_tensor_is_changed_for_those_that_were_cut(
    make_model: Make, cut_equals_mask
) -> None:
    """Two reshapes read one target; only one of them reshapes what is cut."""
    middle = [node("Reshape", ["h", "target"], ["i"]), node("Reshape", ["i", "back"], ["g"]),
              node("Reshape", ["table", "target"], ["t"]), node("ReduceSum", ["t"], ["u"])]  # fmt: skip
    nodes = [node("Conv", ["x", "first"], ["h"], name="first"), *middle, node("Conv", ["g", "second"], ["v"]),
             node("Add", ["v", "u"], ["y"])]  # fmt: skip
    weights = {"first": random(8, 3, 3, 3), "second": random(4, 8, 1, 1), "target": ints(-1, 8, 36),
               "back": ints(-1, 8, 6, 6), "table": random(288)}  # fmt: skip
    path = make_model(nodes, weights, {"x": ["batch", 3, 8, 8]}, {"y": ["batch", 4, "height", "width"]})
    proto = cut_equals_mask(path, FEED)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert shapes["first"][0] == 4
    assert shapes["table"] == (288,)


def test_two_sizes_in_one_target_follow(make_model: Make, cut_equals_mask) -> None:
    nodes = [node("MatMul", ["x", "a"], ["u"]), node("MatMul", ["x", "b"], ["v"]),
             node("Unsqueeze", ["u", "last"], ["u3"]), node("Unsqueeze", ["v", "middle"], ["v3"]),
             node("Mul", ["u3", "v3"], ["m"]), node("Reshape", ["m", "target"], ["r"]),
             node("MatMul", ["r", "c"], ["s"]), node("Transpose", ["s"], ["t"], perm=[0, 2, 1]),
             node("MatMul", ["t", "d"], ["y"])]  # fmt: skip
    weights = {"a": random(5, 8), "b": random(5, 6), "c": random(6, 3), "d": random(8, 2), "last": ints(2),
               "middle": ints(1), "target": ints(-1, 8, 6)}  # fmt: skip
    path = make_model(nodes, weights, {"x": ["batch", 5]}, {"y": ["batch", 3, 2]})
    proto = cut_equals_mask(path, {"x": random(4, 5)})
    assert {t.name: tuple(t.dims) for t in proto.graph.initializer}["c"] == (3, 3)
    assert {t.name: tuple(t.dims) for t in proto.graph.initializer}["d"] == (4, 2)
