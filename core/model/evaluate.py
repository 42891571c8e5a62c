"""Weights that the file computes from constants: their shape without computing, and their values by ONNX Runtime."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from core.errors import FeatherweightError, ModelFileError
from core.model.graph import Stored
from core.model.wire import LARGE

if TYPE_CHECKING:
    import onnx

    from core.model.origins import Origins

_LOG = logging.getLogger(__name__)

MAX_WEIGHTS = 2**31
"""A computed weight with more numbers than this is refused: a damaged shape must not ask for all memory."""


@dataclass(frozen=True)
class Result:
    """Shape and ONNX element type name of a constant computation; None and "" where they cannot be known."""

    shape: tuple[int, ...] | None
    dtype: str

    @property
    def is_float(self) -> bool:
        return self.dtype in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")


def infer(origins: Origins, root: ir.Value) -> Result:
    """Shape and type of a constant computation by shape inference; large tensors are not read for it.

    What the file declares for the value stands in where inference does not get through (an unknown operator, operators
    that do not fit together: computing the value says so then).
    """
    import onnx

    shape = tuple(root.shape.numpy()) if root.shape is not None and root.shape.is_static() else None
    dtype = root.dtype.name if root.dtype is not None else ""
    try:
        inferred = onnx.shape_inference.infer_shapes(_model(origins, root, with_data=False), data_prop=True)
    except (onnx.shape_inference.InferenceError, FeatherweightError, RuntimeError, TypeError, ValueError) as error:
        _LOG.info("%r: shape inference failed (%s)", root.name, first_line(error))
        return Result(shape, dtype)
    info = inferred.graph.output[0].type.tensor_type
    sizes = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in info.shape.dim)
    if info.HasField("shape") and all(size >= 0 for size in sizes):
        shape = sizes
    return Result(shape, ir.DataType(info.elem_type).name if info.elem_type else dtype)


def evaluate(origins: Origins, root: ir.Value) -> np.ndarray[Any, np.dtype[Any]]:
    """The values of a constant computation as float32, computed by ONNX Runtime without rewriting the graph.

    Raises ModelFileError when the runtime refuses it.
    """
    import onnxruntime as ort

    shape = infer(origins, root).shape
    if shape is None or math.prod(shape) > MAX_WEIGHTS:
        raise ModelFileError(f"{root.name!r} cannot be rebuilt: its shape is unknown or impossible",
                             do="get the file again")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(_model(origins, root, with_data=True).SerializeToString(), options,
                                       providers=["CPUExecutionProvider"])
        values = session.run(None, {})[0]
    except Exception as error:  # the runtime raises several kinds, all from C++
        raise ModelFileError(f"{root.name!r} cannot be rebuilt from what the file stores ({first_line(error)})",
                             do="get the file again") from error
    if values.shape != shape:
        raise ModelFileError(f"{root.name!r} is rebuilt as {list(values.shape)} and not as {list(shape)}",
                             do="get the file again")
    return np.ascontiguousarray(values, dtype=np.float32)


def _model(origins: Origins, root: ir.Value, *, with_data: bool) -> onnx.ModelProto:
    """A model of the constant computation alone. Without data, large leaves become inputs of their type and shape."""
    import onnx

    names: dict[ir.Value, str] = {}

    def name(value: ir.Value | None) -> str:
        return "" if value is None else names.setdefault(value, f"v{len(names)}")

    graph = onnx.GraphProto(name="constant")
    for leaf in origins.leaves(root):
        _add_leaf(graph, leaf, name(leaf.value), with_data)
    domains = {"": 0}
    for node in origins.nodes(root):
        proto = ir.serde.serialize_node(node)
        del proto.input[:], proto.output[:], proto.metadata_props[:]
        proto.input.extend(name(value) for value in node.inputs)
        proto.output.extend(name(value) for value in node.outputs)
        graph.node.append(proto)
        domains.setdefault(node.domain if node.domain != "ai.onnx" else "", 0)
    output = graph.output.add()
    output.name = name(root)
    model = onnx.ModelProto(ir_version=origins.ir_version, graph=graph)
    for domain in domains:
        model.opset_import.add(domain=domain, version=origins.opsets.get(domain, 1))
    return model


def _add_leaf(graph: onnx.GraphProto, leaf: Stored, name: str, with_data: bool) -> None:
    import onnx

    if leaf.tensor is None:
        raise ModelFileError(f"{leaf.name!r} is no plain tensor", do="export the model again")
    if with_data or leaf.tensor.nbytes <= LARGE:
        proto = ir.serde.serialize_tensor(leaf.tensor)
        proto.name = name
        graph.initializer.append(proto)
    else:
        graph.input.append(onnx.helper.make_tensor_value_info(name, int(leaf.tensor.dtype), list(leaf.shape)))


def first_line(error: BaseException) -> str:
    """The first line of a library's message, to stand inside a sentence of ours."""
    return str(error).strip().split("\n")[0][:200].rstrip(".")
