"""Shapes and types by ONNX's own inference, on a copy of the graph without weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from core.model.graph import stored_tensors

if TYPE_CHECKING:
    import onnx

_LOG = logging.getLogger(__name__)
_SMALL = 256
"""Tensors of up to as many bytes keep their data: they may say shapes."""


def inferred_shapes(model: ir.Model) -> dict[str, tuple[int | None, ...]]:
    """Shapes of inner values by name, None for sizes that are not known; empty when inference fails."""
    return {
        info.name: tuple(d.dim_value if d.HasField("dim_value") else None for d in info.type.tensor_type.shape.dim)
        for info in _inferred(model)
        if info.type.tensor_type.HasField("shape")
    }


def inferred_types(model: ir.Model) -> dict[str, ir.DataType]:
    """Element types of inner values by name, as far as they are known; empty when inference fails."""
    return {
        info.name: ir.DataType(info.type.tensor_type.elem_type)
        for info in _inferred(model)
        if info.type.tensor_type.elem_type
    }


def _inferred(model: ir.Model) -> Sequence[onnx.ValueInfoProto]:
    import onnx

    proto = structure_only(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, TypeError, ValueError) as error:
        _LOG.info("shape inference failed: %s", str(error)[:200])
        return ()
    return inferred.graph.value_info


def structure_only(model: ir.Model) -> onnx.ModelProto:
    """The model as a protobuf in which large initializers are inputs of their type and shape, without data."""
    import onnx

    graph = ir.serde.serialize_graph(_light(model))
    proto = onnx.ModelProto(ir_version=max(model.ir_version, 8), graph=graph)
    for domain, version in model.graph.opset_imports.items():
        proto.opset_import.add(domain=domain, version=version)
    return proto


def _light(model: ir.Model) -> ir.Graph:
    """A copy of the main graph whose large stored tensors are graph inputs."""
    copy = model.graph.clone()
    light = ir.Model(copy, ir_version=model.ir_version)
    for stored in stored_tensors(light).values():
        tensor = stored.tensor
        if stored.place.graph is not copy or tensor is None or tensor.nbytes <= _SMALL:
            continue
        value = ir.Value(name=stored.value.name, shape=ir.Shape(stored.shape), type=ir.TensorType(tensor.dtype))
        stored.value.replace_all_uses_with(value, replace_graph_outputs=True)
        if stored.node is not None:
            copy.remove(stored.node)
        else:
            copy.initializers.pop(str(stored.value.name))
        if stored.value not in copy.inputs:
            copy.inputs.append(value)
    return copy
