"""One node of a model as a model of its own, with a weight as an input: what a layer does, run in isolation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from core.model.graph import Stored

Array = np.ndarray[Any, np.dtype[Any]]

WEIGHT = "featherweight.weight"
"""Name of the input that takes the weight, always float32."""


@dataclass(frozen=True)
class OneNode:
    """A node with all that it computes from constants.

    node    the node that uses the weight
    weight  the stored value that becomes an input
    inner   nodes from constants to the node's inputs (Transpose, Reshape ... of the weight, too), in running order
    stored  constants that they and the node read, other than the weight
    feeds   names of the node's inputs that depend on the model's inputs
    output  name of the node's first output
    """

    node: ir.Node
    weight: ir.Value
    inner: tuple[ir.Node, ...]
    stored: tuple[Stored, ...]
    feeds: tuple[str, ...]
    output: str


def isolate(
    node: ir.Node, weight: ir.Value, stored: Mapping[ir.Value, Stored], is_constant: Callable[[ir.Value], bool]
) -> OneNode | None:
    """Cut a node of the main graph out; None when it has no named output.

    stored       every stored tensor of the model by its value
    is_constant  whether a value depends on constants alone
    """
    output = next((value.name for value in node.outputs if value.name), None)
    if output is None:
        return None
    inner: list[ir.Node] = []
    constants: dict[ir.Value, Stored] = {}
    feeds: dict[str, None] = {}
    seen: set[ir.Value] = {weight}

    def visit(value: ir.Value) -> None:
        if value in seen:
            return
        seen.add(value)
        producer = value.producer()
        if value in stored:
            constants[value] = stored[value]
        elif producer is None or not is_constant(value):
            feeds[value.name or ""] = None
        else:
            for source in producer.inputs:
                if source is not None:
                    visit(source)
            if producer not in inner:
                inner.append(producer)

    for value in node.inputs:
        if value is not None:
            visit(value)
    return OneNode(node, weight, tuple(inner), tuple(constants.values()), tuple(feeds), output)


def build(cut: OneNode, model: ir.Model, feeds: Mapping[str, Array]) -> bytes:
    """The serialized one-node model. Inputs: WEIGHT and the cut's feeds; output: the cut's output.

    feeds  a recorded array for each input, for type and number of axes
    """
    import onnx
    import onnx_ir as ir
    from onnx import helper

    inputs = [helper.make_tensor_value_info(WEIGHT, onnx.TensorProto.FLOAT, None)]
    for name in cut.feeds:
        kind = helper.np_dtype_to_tensor_dtype(feeds[name].dtype)
        inputs.append(helper.make_tensor_value_info(name, kind, [None] * feeds[name].ndim))
    nodes = [_weight_node(cut.weight, _dtype(cut.weight))]
    nodes += [ir.to_proto(node) for node in (*cut.inner, cut.node)]
    graph = helper.make_graph(
        nodes, "one node", inputs, [onnx.ValueInfoProto(name=cut.output)], [_tensor(s) for s in cut.stored]
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)
    return bytes(made.SerializeToString())


def _dtype(value: ir.Value) -> int:
    import onnx

    if value.const_value is not None:
        return int(value.const_value.dtype)
    return int(value.dtype) if value.dtype is not None else int(onnx.TensorProto.FLOAT)


def _weight_node(weight: ir.Value, dtype: int) -> onnx.NodeProto:
    """From the float32 input to the stored value's name and type."""
    from onnx import TensorProto, helper

    if dtype == TensorProto.FLOAT:
        return helper.make_node("Identity", [WEIGHT], [weight.name or ""])
    return helper.make_node("Cast", [WEIGHT], [weight.name or ""], to=dtype)


def _tensor(stored: Stored) -> onnx.TensorProto:
    """The stored constant with its data inside, wherever the model keeps it."""
    import onnx_ir as ir

    tensor = stored.tensor
    if tensor is None:
        raise RuntimeError(f"constant {stored.name!r} has no tensor")
    copied = ir.tensor(tensor.numpy(), dtype=tensor.dtype, name=stored.value.name)
    return ir.to_proto(copied)
