"""Layers of every kind with weights, and stock ONNX Runtime to rebuild encodings."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.encoding import Encoding
from core.encoding.emitter import GraphEmitter
from core.model.layer import Kind, Layer

# kind: shape, output axis, input axis, groups
SHAPES: dict[Kind, tuple[tuple[int, ...], int | None, int | None, int]] = {
    Kind.CONV: ((24, 16, 3, 3), 0, 1, 1),
    Kind.DEPTHWISE: ((64, 1, 3, 3), 0, 1, 64),
    Kind.CONV_TRANSPOSE: ((16, 12, 2, 2), 1, 0, 1),
    Kind.LINEAR: ((96, 40), 1, 0, 1),
    Kind.EMBEDDING: ((120, 24), None, None, 1),
    Kind.RECURRENT: ((2, 32, 20), 1, 2, 1),
    Kind.NORM: ((600,), 0, None, 1),
    Kind.OTHER: ((7, 90), None, None, 1),
}


@pytest.fixture(scope="session")
def layer_of() -> Callable[[Kind], Layer]:
    """layer_of(kind) -> a layer of that kind, large enough for every method to pay."""
    return _layer


def _layer(kind: Kind) -> Layer:
    shape, output, entry, groups = SHAPES[kind]
    nbytes = 4 * int(np.prod(shape))
    return Layer(f"{kind}.weight", kind, shape, "float32", nbytes, output, entry, groups=groups)


@pytest.fixture
def weight() -> Callable[[Layer], np.ndarray]:
    """weight(layer) -> random weights of falling singular values, so that every method has something to find."""

    def make(layer: Layer) -> np.ndarray:
        rng = np.random.default_rng(3)
        values = rng.normal(0, 0.002, layer.shape)
        if len(layer.shape) == 2:
            values += rng.normal(size=(layer.shape[0], 2)) @ rng.normal(0, 0.1, (2, layer.shape[1]))
        else:
            values += rng.standard_t(5, layer.shape) * 0.05
        return values.astype(np.float32)

    return make


@pytest.fixture
def rebuild() -> Callable[[Encoding, int], np.ndarray]:
    """rebuild(encoding, opset) -> the weight that stock ONNX Runtime makes of a model that the checker accepts."""

    def run(encoding: Encoding, opset: int) -> np.ndarray:
        names = count()
        emitter = GraphEmitter(opset, lambda: f"w{next(names)}")
        emitter.emit(encoding, "value")
        tensors = [
            helper.make_tensor(t.name, _element(t.dtype), t.array.shape, t.array.tobytes(), raw=True)
            for t in emitter.tensors
        ]
        nodes = [helper.make_node(n.op, n.inputs, [n.output], **_plain(n.attributes)) for n in emitter.nodes]
        nodes.append(helper.make_node("Identity", ["value"], ["out"]))
        infos = [
            helper.make_tensor_value_info(n.output, _element(n.dtype), n.shape)
            for n in emitter.nodes if n.dtype is not None
        ]
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, encoding.shape)
        graph = helper.make_graph(nodes, "g", [], [out], tensors, value_info=infos)
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=7 if opset < 19 else 10)
        onnx.checker.check_model(model, full_check=True)
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {})[0]

    return run


def _element(dtype: str) -> int:
    return TensorProto.DataType.Value("FLOAT" if dtype == "float32" else dtype.upper())


def _plain(attributes: dict) -> dict:
    return {k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in attributes.items()}
