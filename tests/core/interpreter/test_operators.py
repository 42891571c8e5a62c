"""Every operator against the specification's own test cases, and what these leave out against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from onnx import helper

from core.errors import ModelFileError
from core.interpreter.module import TorchGraph, missing_operators
from core.interpreter.operators import TABLE
from core.interpreter.tensors import from_array, from_stored

KNOWN = (
    "float4e2m1", "float8e8m0", "string", "in training mode", "BitShift of 64-bit", "MaxPool with indices",
    "with antialiasing", "tf_crop_and_resize", "non-zero size",
)  # fmt: skip
"""What errors say that are meant: types without numbers, training, and variants that no model here has."""
DIFFERENT = ("align_corners", "no_saturate", "identity_sequence", "identity_opt")
"""Cases in which ONNX Runtime (or torch's float8) decides otherwise than the specification, or that hold no tensor."""
NOT_IN_CASES = {"Constant", "Dropout", "Scatter", "Shrink", "EyeLike"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from the cases' own numpy: overflows are what they test
def test_the_specifications_own_cases() -> None:
    from onnx.backend.test.case.node import collect_testcases

    passed: set[str] = set()
    failures = []
    for case in collect_testcases(None):
        if any(word in case.name for word in DIFFERENT):
            continue
        model = ir.serde.deserialize_model(case.model)
        if missing_operators(model):
            continue
        try:
            _check_case(model, case)
        except ModelFileError as error:
            if not any(words in str(error) for words in KNOWN):
                failures.append(f"{case.name}: {error}")
        except AssertionError as error:
            failures.append(f"{case.name}: {str(error).strip()[:200]}")
        else:
            passed.update(node.op_type for node in model.graph)
    assert not failures, "\n".join(failures)
    assert set(TABLE) - passed <= NOT_IN_CASES


def _check_case(model: ir.Model, case: Any) -> None:
    graph = TorchGraph(model)
    given = [value.name or "" for value in model.graph.inputs]
    for inputs, outputs in case.data_sets:
        feeds = {name: _tensor(value) for name, value in zip(given, inputs, strict=True)}
        with torch.no_grad():
            results = graph(feeds)
        for result, output in zip(results.values(), outputs, strict=True):
            expected = _tensor(output)
            assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
            loose = 1e-5 if result.dtype in (torch.float32, torch.float64) else 1e-2
            np.testing.assert_allclose(result.double(), expected.double(), rtol=max(case.rtol, 1e-3), atol=loose)


def _tensor(value: Any) -> torch.Tensor:
    stored = ir.serde.deserialize_tensor(value) if isinstance(value, onnx.TensorProto) else ir.tensor(value)
    return from_stored(stored)


RANDOM = np.random.default_rng(0)
X4 = RANDOM.standard_normal((2, 4, 9, 10)).astype(np.float32)
X3 = RANDOM.standard_normal((5, 2, 6)).astype(np.float32)  # time, batch, inputs


def _weights(*shape: int) -> np.ndarray:
    return (RANDOM.standard_normal(shape) * 0.3).astype(np.float32)


CASES: dict[str, tuple[int, str, dict[str, Any], list[np.ndarray]]] = {
    "conv, uneven padding": (13, "Conv", {"pads": [0, 1, 2, 0], "strides": [2, 1]}, [X4, _weights(3, 4, 3, 3)]),
    "conv, dilated": (13, "Conv", {"dilations": [2, 1], "pads": [1, 1, 1, 1]}, [X4, _weights(3, 4, 2, 3)]),
    "conv, same": (13, "Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 3]}, [X4, _weights(3, 4, 2, 3)]),
    "conv, groups": (13, "Conv", {"group": 2}, [X4, _weights(6, 2, 3, 3), _weights(6)]),
    "transposed, all at once": (
        13, "ConvTranspose", {"pads": [1, 0, 0, 1], "strides": [2, 3], "output_padding": [1, 2], "group": 2},
        [X4, _weights(4, 3, 3, 3), _weights(6)],
    ),
    "transposed, same lower": (
        13, "ConvTranspose", {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, [X4, _weights(4, 3, 3, 3)],
    ),
    "transposed, shape": (
        13, "ConvTranspose", {"output_shape": [20, 21], "strides": [2, 2]}, [X4, _weights(4, 3, 3, 3)],
    ),
    "max pool, ceil": (13, "MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, [X4]),
    "average, ceil": (
        13, "AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]}, [X4],
    ),
    "average, padding counts": (
        13, "AveragePool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": 1}, [X4],
    ),
    "softmax, opset 11": (11, "Softmax", {"axis": 1}, [X4]),
    "log softmax, opset 11": (11, "LogSoftmax", {"axis": 2}, [X4]),
    "squeeze, opset 11": (11, "Unsqueeze", {"axes": [0, -1]}, [X4]),
    "sum, opset 11": (11, "ReduceSum", {"axes": [1, -1], "keepdims": 0}, [X4]),
    "pad, reflect": (13, "Pad", {"mode": "reflect"}, [X4, np.array([0, 0, 3, 2, 0, 0, 1, 4])]),
    "slice, backwards": (
        13, "Slice", {}, [X4, np.array([-1, 2**31]), np.array([-(2**62), 1]), np.array([2, 3]), np.array([-2, -3])],
    ),
    "resize, pytorch half pixel": (
        13, "Resize", {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        [X4, np.empty(0, np.float32), np.array([1, 1, 1.7, 0.6], np.float32)],
    ),
    "resize, cubic": (
        13, "Resize", {"mode": "cubic", "exclude_outside": 1},
        [X4, np.empty(0, np.float32), np.empty(0, np.float32), np.array([2, 4, 15, 7])],
    ),
    "local response": (13, "LRN", {"size": 3, "alpha": 0.3}, [X4]),
    "lstm, both ways": (
        14, "LSTM", {"hidden_size": 3, "direction": "bidirectional"},
        [X3, _weights(2, 12, 6), _weights(2, 12, 3), _weights(2, 24), np.array([5, 5], np.int32), _weights(2, 2, 3),
         _weights(2, 2, 3), _weights(2, 9)],
    ),
    "gru, reverse": (
        14, "GRU", {"hidden_size": 3, "direction": "reverse", "linear_before_reset": 1},
        [X3, _weights(1, 9, 6), _weights(1, 9, 3), _weights(1, 18)],
    ),
    "gru, both ways": (
        14, "GRU", {"hidden_size": 3, "direction": "bidirectional"},
        [X3, _weights(2, 9, 6), _weights(2, 9, 3), _weights(2, 18)],
    ),
    "rnn, relu": (
        14, "RNN", {"hidden_size": 3, "activations": ["Relu"]}, [X3, _weights(1, 3, 6), _weights(1, 3, 3)],
    ),
    "shift left drops bits": (
        11, "BitShift", {"direction": "LEFT"}, [np.array([1, 200], np.uint8), np.array([7, 3], np.uint8)],
    ),
    "dequantize by channel": (
        13, "DequantizeLinear", {"axis": 0},
        [np.arange(-6, 6, dtype=np.int8).reshape(3, 4), np.array([0.1, 1, 3], np.float32),
         np.array([0, 1, -2], np.int8)],
    ),
    "matmul of codes": (
        13, "MatMulInteger", {},
        [np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(-4, 4, dtype=np.int8).reshape(4, 2),
         np.array(3, np.uint8), np.array([1, -2], np.int8)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_as_onnx_runtime(case: str) -> None:
    opset, op, attributes, arrays = CASES[case]
    outputs = ["y", "y_h", "y_c"][: {"LSTM": 3, "GRU": 2, "RNN": 2}.get(op, 1)]
    names = [f"x{i}" if array.size else "" for i, array in enumerate(arrays)]
    proto = _model(helper.make_node(op, names, outputs, **attributes), dict(zip(names, arrays, strict=True)), opset)
    feeds = {name: array for name, array in zip(names, arrays, strict=True) if name}
    expected = ort.InferenceSession(proto.SerializeToString()).run(None, feeds)
    results = TorchGraph(ir.serde.deserialize_model(proto))({k: from_array(v) for k, v in feeds.items()})
    for result, array in zip(results.values(), expected, strict=True):
        assert tuple(result.shape) == array.shape
        np.testing.assert_allclose(result.numpy(), array, rtol=1e-4, atol=1e-5)


def _model(node: onnx.NodeProto, feeds: dict[str, np.ndarray], opset: int) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
        if name
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "case", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_different_lengths_are_refused() -> None:
    weights = {"w": _weights(1, 3, 6), "r": _weights(1, 3, 3)}
    node = helper.make_node("RNN", ["x", "w", "r", "", "lengths"], ["y"], hidden_size=3)
    lengths = np.array([5, 2], np.int32)
    proto = _model(node, {"x": X3, **weights, "lengths": lengths}, 14)
    feeds = {"x": from_array(X3), "lengths": from_array(lengths), **{k: from_array(v) for k, v in weights.items()}}
    with pytest.raises(ModelFileError, match="sequences of different lengths"):
        TorchGraph(ir.serde.deserialize_model(proto))(feeds)


def test_a_root_of_zero_stops_no_gradient(make_model: Callable[..., Path]) -> None:
    """|x w| written as a root of a square, as spectra are: x = 0 has no derivative, and the other still has one."""
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["a"]),
        helper.make_node("Mul", ["a", "a"], ["b"]),
        helper.make_node("Sqrt", ["b"], ["y"]),
    ]
    path = make_model(nodes, {"w": np.array([3.0, 2.0], np.float32)}, {"x": [2]}, {"y": [2]})
    graph = TorchGraph(ir.load(path), ["w"])
    graph({"x": torch.tensor([0.0, 5.0])})["y"].sum().backward()
    assert graph.weights["w"].grad is not None
    assert graph.weights["w"].grad.tolist() == [0.0, 5.0]
