"""Weights that the file computes from constants: their shape without computing, and their values by ONNX Runtime."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from core.errors import ModelFileError
from core.model.graph import Stored
from core.model.wire import LARGE

if TYPE_CHECKING:
    import onnx

    from core.model.origins import Origins

MAX_WEIGHTS = 2**31
"""A computed weight with more numbers than this is refused: a damaged shape must not ask for all memory."""


@dataclass(frozen=True)
class Result:
    """Shape and ONNX element type name of a computed weight; () and "" when they cannot be known."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def is_float(self) -> bool:
        return self.dtype in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")


def infer(origins: Origins, root: ir.Value) -> Result:
    """Shape and type of a constant computation by shape inference; large tensors are not read for it."""
    import onnx

    proto = _model(origins, root, with_data=False)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception as error:  # the C++ side raises several kinds
        raise ModelFileError(f"the operators that rebuild {root.name!r} do not fit together ({_first_line(error)})",
                             do="export the model again") from error
    info = inferred.graph.output[0].type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in info.shape.dim]
    declared = root.shape
    if (not info.HasField("shape") or -1 in sizes) and declared is not None:
        sizes = [size if isinstance(size, int) else -1 for size in declared]
    dtype = ir.DataType(info.elem_type).name if info.elem_type else (root.dtype.name if root.dtype else "")
    return Result(() if any(size < 0 for size in sizes) else tuple(sizes), dtype)


def evaluate(origins: Origins, root: ir.Value) -> np.ndarray[Any, np.dtype[Any]]:
    """The values of a constant computation as float32, computed by ONNX Runtime without rewriting the graph.

    Raises ModelFileError when the runtime refuses it.
    """
    import onnxruntime as ort

    result = infer(origins, root)
    if math.prod(result.shape) > MAX_WEIGHTS:
        raise ModelFileError(f"{root.name!r} would have the shape {list(result.shape)}", do="get the file again")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(_model(origins, root, with_data=True).SerializeToString(), options,
                                       providers=["CPUExecutionProvider"])
        values = session.run(None, {})[0]
    except Exception as error:  # the runtime raises several kinds, all from C++
        raise ModelFileError(f"{root.name!r} cannot be rebuilt from what the file stores ({_first_line(error)})",
                             do="get the file again") from error
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
        proto = ir.to_proto(node)
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
        proto = ir.to_proto(leaf.tensor)
        proto.name = name
        graph.initializer.append(proto)
    else:
        graph.input.append(onnx.helper.make_tensor_value_info(name, int(leaf.tensor.dtype), list(leaf.shape)))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200].rstrip(".")
