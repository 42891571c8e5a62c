"""Weights that are compressed or quantized already: one locked layer each, with the values that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.errors import LayerSkipped, ModelFileError
from core.model.layer import Kind, Layer
from core.model.model import Model
from core.model.readers import open_model

Make = Callable[..., Path]
node = helper.make_node
X, Y = {"x": [1, 16]}, {"y": [1, 4]}


def codes(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)


def only(model: Model) -> Layer:
    (layer,) = model.layers
    return layer


def test_cast_and_scale(make_model: Make) -> None:
    """What Featherweight writes for int8: the layer keeps the weight's name, whatever plain operator comes after it."""
    nodes = [
        node("Cast", ["q"], ["w1"], to=1),
        node("Mul", ["w1", "s"], ["w2"]),
        node("Reshape", ["w2", "dims"], ["fc.weight"]),
        node("Transpose", ["fc.weight"], ["turned"], perm=[1, 0]),
        node("MatMul", ["x", "turned"], ["y"]),
    ]
    q, s = codes(2, 32), np.float32([[0.5], [0.25]])
    model = open_model(make_model(nodes, {"q": q, "s": s, "dims": np.array([4, 16])}, X, Y))
    layer = only(model)
    assert (layer.name, layer.kind, layer.shape, layer.nbytes) == ("fc.weight", Kind.LINEAR, (4, 16), 64 + 8 + 16)
    assert layer.locked == "already compressed: int8 values rebuilt by Cast, Mul, Reshape"
    assert (layer.output_axis, layer.input_axis, layer.uses[0].via) == (0, 1, ("Transpose",))
    np.testing.assert_array_equal(model.weight("fc.weight"), (q.astype(np.float32) * s).reshape(4, 16))
    np.testing.assert_array_equal(model.encoding("fc.weight").decode(), model.weight("fc.weight"))


def test_dequantize_linear(make_model: Make) -> None:
    nodes = [node("DequantizeLinear", ["q", "s"], ["w"], axis=1), node("MatMul", ["x", "w"], ["y"])]
    q, s = codes(16, 4), np.float32([1, 2, 4, 8])
    model = open_model(make_model(nodes, {"q": q, "s": s}, X, Y))
    layer = only(model)
    assert (layer.shape, layer.locked) == ((16, 4), "already compressed: int8 values rebuilt by DequantizeLinear")
    np.testing.assert_array_equal(model.weight("w"), q * s)


def test_codebook(make_model: Make) -> None:
    nodes = [
        node("Cast", ["q"], ["i"], to=TensorProto.INT32),
        node("Gather", ["table", "i"], ["w"]),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    q, table = (codes(16, 4) & 3).astype(np.uint8), np.float32([-1, 0, 2, 5])
    model = open_model(make_model(nodes, {"q": q, "table": table}, X, Y))
    assert (only(model).name, only(model).nbytes) == ("w", 64 + 16)
    np.testing.assert_array_equal(model.weight("w"), table[q])


def test_sparse_with_positions(make_model: Make) -> None:
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    nodes = [
        node("ConstantOfShape", ["size"], ["zeros"], value=zero),
        node("Cast", ["gaps"], ["wide"], to=TensorProto.INT64),
        node("CumSum", ["wide", "first"], ["at"]),
        node("ScatterElements", ["zeros", "at", "kept"], ["w9"]),
        node("Reshape", ["w9", "dims"], ["w"]),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    weights = {
        "size": np.array([64]),
        "gaps": np.uint8([1, 2, 3] * 6),
        "first": np.array(0),
        "dims": np.array([16, 4]),
        "kept": np.arange(1, 19, dtype=np.float32),
    }
    model = open_model(make_model(nodes, weights, X, Y))
    layer = only(model)
    assert (layer.name, layer.shape, layer.locked[:18]) == ("w", (16, 4), "already compressed")
    expected = np.zeros(64, np.float32)
    expected[np.cumsum(weights["gaps"])] = weights["kept"]
    np.testing.assert_array_equal(model.weight("w"), expected.reshape(16, 4))


def test_a_product_of_factors(make_model: Make) -> None:
    nodes = [node("MatMul", ["left", "right"], ["w"]), node("MatMul", ["x", "w"], ["y"])]
    left, right = np.ones((16, 1), np.float32), np.float32([[1, 2, 3, 4]])
    model = open_model(make_model(nodes, {"left": left, "right": right}, X, Y))
    assert (only(model).name, only(model).nbytes, only(model).shape) == ("w", 80, (16, 4))
    np.testing.assert_array_equal(model.weight("w"), left @ right)


def test_compressed_positions_are_other_layers(make_model: Make) -> None:
    nodes = [
        node("Cast", ["q"], ["f"], to=1),
        node("Mul", ["f", "s"], ["positions"]),
        node("Add", ["x", "positions"], ["y"]),
    ]
    model = open_model(make_model(nodes, {"q": codes(16, 16), "s": np.float32(0.5)}, {"x": [16, 16]}, {"y": [16, 16]}))
    assert (only(model).name, only(model).kind) == ("positions", Kind.OTHER)


def test_one_computed_weight_used_twice_is_one_layer_and_shared_leaves_count_once(make_model: Make) -> None:
    nodes = [
        node("Cast", ["qa"], ["fa"], to=1),
        node("Mul", ["fa", "s"], ["a"]),
        node("Cast", ["qb"], ["fb"], to=1),
        node("Mul", ["fb", "s"], ["b"]),
        node("MatMul", ["x", "a"], ["h"]),
        node("MatMul", ["h", "a"], ["k"]),
        node("MatMul", ["k", "b"], ["y"]),
    ]
    model = open_model(
        make_model(
            nodes, {"qa": codes(8, 8), "qb": codes(8, 8), "s": np.float32([2] * 8)}, {"x": [1, 8]}, {"y": [1, 8]}
        )
    )
    assert [(layer.name, layer.nbytes, len(layer.uses)) for layer in model.layers] == [("a", 96, 2), ("b", 64, 1)]


def test_quantized_operators_lock_what_they_take(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [node("MatMulInteger", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 4])],
        [numpy_helper.from_array(codes(16, 4), "w")],
    )
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "q.onnx")
    model = open_model(tmp_path / "q.onnx")
    layer = only(model)
    assert (layer.kind, layer.dtype, layer.locked, layer.nbytes) == (
        Kind.LINEAR,
        "int8",
        "already quantized (int8)",
        64,
    )
    np.testing.assert_array_equal(model.weight("w"), codes(16, 4))


@pytest.mark.parametrize("shape", [(64,), (64, 2)])
def test_sparse_initializers_become_locked_layers(tmp_path: Path, shape: tuple[int, ...]) -> None:
    linear = np.arange(64) * 2
    positions = linear if len(shape) == 1 else np.stack([linear // 8, linear % 8], 1)
    values = np.arange(1, 65, dtype=np.float32)
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(values, "w"), numpy_helper.from_array(positions), [16, 8]
    )
    graph = helper.make_graph(
        [node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 16])],
        [helper.make_tensor_value_info("y", 1, [1, 8])],
        sparse_initializer=[sparse],
    )
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "s.onnx")
    model = open_model(tmp_path / "s.onnx")
    expected = np.zeros(128, np.float32)
    expected[linear] = values
    assert (only(model).name, only(model).shape) == ("w", (16, 8))
    np.testing.assert_array_equal(model.weight("w"), expected.reshape(16, 8))


def test_a_computation_that_fails_says_so_when_it_is_asked_for(make_model: Make) -> None:
    nodes = [
        node("Cast", ["q"], ["i"], to=TensorProto.INT32),
        node("Gather", ["table", "i"], ["w"]),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    path = make_model(nodes, {"q": np.full((16, 4), 9, np.uint8), "table": np.float32([0, 1])}, X, Y)
    model = open_model(path)
    with pytest.raises(ModelFileError, match=r"model.onnx: 'w' cannot be rebuilt from what the file stores"):
        model.weight("w")


@pytest.mark.parametrize("scheme", ["int8", "codebook", "low rank", "sparse", "float16", "four bits"])
def test_our_exports_open_again_with_the_same_names_and_values(tmp_path: Path, mlp_path: Path, scheme: str) -> None:
    from core.exporting.writer import assemble
    from core.methods.base import Context
    from core.methods.params import build
    from core.methods.registry import find

    steps = {
        "int8": ("quantize", None, {"bits": 8}),
        "four bits": ("quantize", None, {"bits": 4}),
        "codebook": ("quantize", "codebook", {"bits": 4}),
        "low rank": ("low_rank", None, {"by": "rank", "rank": 2}),
        "sparse": ("prune", None, {"ratio": 0.9}),
        "float16": ("float16", None, {}),
    }
    word, kind, values = steps[scheme]
    method = find(word, kind)
    model = open_model(mlp_path)
    encodings = {}
    for layer in model.layers:
        try:
            encodings[layer.name] = method.apply(
                model.encoding(layer.name), build(method.Params, values), Context(layer)
            )
        except LayerSkipped:
            continue
    import onnx_ir as ir

    target = tmp_path / "small.onnx"
    ir.save(assemble(model, encodings).graph, target)
    again = open_model(target)
    titles = {layer.title: layer for layer in again.layers}
    if scheme == "low rank":  # written as two thin layers each, so there is nothing left under the old name
        assert encodings and len(titles) > len(encodings)
        return
    assert set(titles) == set(encodings)
    for name, encoding in encodings.items():
        assert titles[name].shape == encoding.shape
        np.testing.assert_allclose(again.weight(titles[name].name), encoding.decode(), rtol=1e-6, atol=1e-7)


def test_scales_of_block_quantized_weights_are_no_layers(tmp_path: Path) -> None:
    packed = np.random.default_rng(0).integers(0, 256, (32, 4, 16)).astype(np.uint8)
    sizes = {"K": 128, "N": 32, "bits": 4, "block_size": 32}
    matmul = node("MatMulNBits", ["x", "w", "scales"], ["y"], domain="com.microsoft", **sizes)
    graph = helper.make_graph(
        [matmul],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 128])],
        [helper.make_tensor_value_info("y", 1, [1, 32])],
        [numpy_helper.from_array(packed, "w"), numpy_helper.from_array(np.ones((32, 4), np.float32), "scales")],
    )
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=imports), tmp_path / "n.onnx")
    model = open_model(tmp_path / "n.onnx")
    assert (only(model).locked, only(model).nbytes) == ("already quantized (uint8)", 2048)
    assert [left.reason for left in model.left_out] == ["scale of quantized weights"]
    assert model.notes == ()
