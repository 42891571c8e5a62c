"""What stock ONNX Runtime makes of an encoding, to compare with what the encoding says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from core.encoding import Encoding
from core.encoding.emitter import GraphEmitter


def element_type(dtype: str) -> int:
    """ONNX's number of an element type."""
    import onnx

    return onnx.TensorProto.DataType.Value("FLOAT" if dtype == "float32" else dtype.upper())


def emit(encodings: Sequence[Encoding], opset: int) -> GraphEmitter:
    """An emitter that holds the encodings under the names value0, value1, ..."""
    names = count()
    emitter = GraphEmitter(opset, lambda: f"w{next(names)}")
    for i, encoding in enumerate(encodings):
        emitter.emit(encoding, f"value{i}")
    return emitter


def to_graph(emitter: GraphEmitter, nodes: Sequence = (), inputs: Sequence = (), outputs: Sequence = ()):
    """The GraphProto of an emitter's tensors and nodes, followed by `nodes`."""
    import onnx
    from onnx import helper

    tensors = []
    for t in emitter.tensors:
        raw = t.array.tobytes()
        tensors.append(helper.make_tensor(t.name, element_type(t.dtype), t.array.shape, raw, raw=True))
    made = []
    for n in emitter.nodes:
        attributes = {
            k: onnx.numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in n.attributes.items()
        }
        made.append(helper.make_node(n.op, n.inputs, [n.output], **attributes))
    infos = [
        helper.make_tensor_value_info(n.output, element_type(n.dtype), n.shape) for n in emitter.nodes if n.dtype is not None
    ]
    return helper.make_graph([*made, *nodes], "g", inputs, outputs, tensors, value_info=infos)


def session(encodings: Sequence[Encoding], opset: int, optimize: bool, dump: Path | None = None):
    """A session of a model that subtracts the input "x", a scalar, from every encoding."""
    import onnx
    import onnxruntime as ort
    from onnx import helper

    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [])
    outputs = [helper.make_tensor_value_info(f"y{i}", onnx.TensorProto.FLOAT, e.shape) for i, e in enumerate(encodings)]
    nodes = [helper.make_node("Sub", [f"value{i}", "x"], [f"y{i}"]) for i in range(len(encodings))]
    graph = to_graph(emit(encodings, opset), nodes, [x], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7 if opset < 19 else 10)
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    if dump:
        options.optimized_model_filepath = str(dump)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.fixture
def rebuild() -> Callable[..., list[np.ndarray]]:
    """rebuild(encodings, opset, optimize) -> what ONNX Runtime rebuilds, one array for each encoding."""

    def run(encodings: Sequence[Encoding], opset: int, optimize: bool) -> list[np.ndarray]:
        return session(encodings, opset, optimize).run(None, {"x": np.zeros((), np.float32)})

    return run
