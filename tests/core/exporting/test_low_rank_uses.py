"""Factorised layers in the file: the nodes that compute with the factors, against the decoded weight."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from core.encoding import Affine, Codes, ConvChain, Float, LowRank
from core.exporting.gate import relative_difference
from core.exporting.sizes import predict_bytes
from core.exporting.writer import assemble, simulate
from core.model.readers import open_model

RNG = np.random.default_rng(5)


def random(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def int8(values):
    scale = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) / 127
    return Affine(Codes(np.rint(values / scale).astype(np.int8), 8, signed=True), scale)


def spatial(way=Float):
    return ConvChain((way(random(4, 6, 3, 1)), way(random(8, 4, 1, 5))))


def channels(way=Float):
    return ConvChain((way(random(3, 6, 3, 5)), way(random(8, 3, 1, 1))))


def tucker(way=Float):
    return ConvChain((way(random(2, 6, 1, 1)), way(random(3, 2, 3, 5)), way(random(8, 3, 1, 1))))


def compare(model, encodings, feed, tmp_path):
    """Export and decoded model on one feed; returns the export's nodes and the difference. The size must be right."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    assembly, outputs, paths = assemble(model, encodings), [], [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for graph, path in zip((assembly.graph, simulate(model, encodings)), paths, strict=True):
        ir.external_data.load_to_model(graph)
        path.write_bytes(ir.to_proto(graph).SerializeToString(deterministic=True))
        onnx.checker.check_model(str(path))
        outputs.append(onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed))
    size = paths[0].stat().st_size
    assert abs(predict_bytes(model, encodings) - size) <= 0.01 * size + 24
    worst = max(relative_difference(a, b) for a, b in zip(*outputs, strict=True))
    return onnx.load(paths[0]).graph.node, worst


@pytest.mark.parametrize("attributes", [
    {},
    {"pads": [1, 2, 1, 2]},
    {"pads": [0, 1, 2, 3], "strides": [2, 1], "kernel_shape": [3, 5]},
    {"strides": [1, 3], "dilations": [2, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [3, 2]},
    {"auto_pad": "VALID"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("make", [spatial, channels, tucker])
@pytest.mark.parametrize("way", [Float, int8])
def test_a_convolution_in_a_row_gives_what_the_decoded_one_gives(make_model, tmp_path, make, way, attributes):
    encoding = make(way)
    path = make_model(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)],
        {"w": random(8, 6, 3, 5), "b": random(8)}, {"x": [2, 6, 17, 19]}, {"y": [2, 8, None, None]},
    )  # fmt: skip
    nodes, difference = compare(open_model(path), {"w": encoding}, {"x": random(2, 6, 17, 19)}, tmp_path)
    assert [n.op_type for n in nodes].count("Conv") == len(encoding.factors)
    assert difference <= 1e-5


@pytest.mark.parametrize("way", [Float, int8])
def test_a_batch_norm_behind_a_row_of_convolutions_costs_nothing(make_model, tmp_path, way):
    norm = {"s": RNG.uniform(0.5, 2, 8), "t": random(8), "m": random(8), "v": RNG.uniform(0.5, 2, 8)}
    path = make_model(
        [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("BatchNormalization", ["c", *"stmv"], ["y"])],
        {"w": random(8, 6, 3, 5)} | {k: np.asarray(v, np.float32) for k, v in norm.items()},
        {"x": [1, 6, 9, 9]}, {"y": [1, 8, 7, 5]},
    )  # fmt: skip
    nodes, difference = compare(open_model(path), {"w": tucker(way)}, {"x": random(1, 6, 9, 9)}, tmp_path)
    kinds = [n.op_type for n in nodes]
    assert kinds.count("Conv") == 3 and "BatchNormalization" not in kinds
    assert kinds.count("Mul") == (0 if way is Float else 3)  # those of the scales, and no other
    assert difference <= 1e-5


def test_one_weight_of_two_convolutions(make_model, tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 2, 1, 2]),
        helper.make_node("Conv", ["x", "w"], ["b"], pads=[1, 2, 1, 2], strides=[1, 1]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    path = make_model(nodes, {"w": random(8, 6, 3, 5)}, {"x": [1, 6, 9, 9]}, {"y": [1, 8, 9, 9]})
    made, difference = compare(open_model(path), {"w": channels()}, {"x": random(1, 6, 9, 9)}, tmp_path)
    assert [n.op_type for n in made].count("Conv") == 4
    assert difference <= 1e-5


def test_a_weight_that_is_used_otherwise_is_rebuilt_in_place(make_model, tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("ReduceSum", ["w"], ["s"], keepdims=0),
        helper.make_node("Add", ["a", "s"], ["y"]),
    ]
    path = make_model(nodes, {"w": random(8, 6, 3, 5)}, {"x": [1, 6, 9, 9]}, {"y": [1, 8, 7, 5]})
    made, difference = compare(open_model(path), {"w": spatial()}, {"x": random(1, 6, 9, 9)}, tmp_path)
    assert [n.op_type for n in made].count("Conv") == 1
    assert "ConvTranspose" in [n.op_type for n in made]
    assert difference <= 1e-5


def table():
    return LowRank(Float(random(20, 3)), Float(random(3, 12)), (20, 12))


@pytest.mark.parametrize("shape", [[2, 4], [4], []])
def test_an_embedding_is_looked_up_in_the_thin_table(make_model, tmp_path, shape):
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [*shape, 12])
    entry = helper.make_tensor_value_info("i", onnx.TensorProto.INT64, shape)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "i"], ["y"])], "g", [entry], [out],
        [onnx.numpy_helper.from_array(random(20, 12), "w")],
    )  # fmt: skip
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    feed = {"i": RNG.integers(0, 20, shape)}
    nodes, difference = compare(open_model(path), {"w": table()}, feed, tmp_path)
    assert [n.op_type for n in nodes] == ["Gather", "MatMul"]
    assert difference <= 1e-5


def test_a_tied_embedding_is_looked_up_and_multiplied_by_the_same_factors(tmp_path):
    nodes = [
        helper.make_node("Gather", ["w", "i"], ["e"]),
        helper.make_node("Gemm", ["e", "w"], ["g"], transB=1, alpha=0.5),
        helper.make_node("Relu", ["g"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info("i", onnx.TensorProto.INT64, [4])]
    out = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4, 20])]
    graph = helper.make_graph(nodes, "g", ports, out, [onnx.numpy_helper.from_array(random(20, 12), "w")])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    made, difference = compare(open_model(path), {"w": table()}, {"i": np.array([0, 3, 19, 5])}, tmp_path)
    assert [n.op_type for n in made] == ["Gather", "MatMul", "Gemm", "Gemm", "Relu"]
    assert difference <= 1e-5
