"""One node of a model as a model of its own, with a weight as an input: what a layer does, run in isolation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.exposing import inner_values
from core.errors import InternalError

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from core.model.graph import Stored
    from core.model.layer import Layer

Array = np.ndarray[Any, np.dtype[Any]]

WEIGHT = "featherweight.weight"
"""Name of the input that takes the weight, always float32."""
NOT_RUN = "its branch of the model does not run on these samples"

_INDICES = {("Gather", 1): "INT64", ("LSTM", 4): "INT32", ("GRU", 4): "INT32", ("RNN", 4): "INT32"}
"""Inputs that are no floats, by operator and position (ONNX operator definitions)."""


@dataclass(frozen=True)
class Given:
    """A value that the node gets from the rest of the model, or gives to it.

    name   as the node calls it
    key    as `exposing.inner_values` calls it; the name of a model input
    dtype  ONNX element type that it has unless the model says otherwise
    """

    name: str
    key: str
    dtype: int


@dataclass(frozen=True)
class OneNode:
    """A node with all that it computes from constants.

    node    the node that uses the weight
    weight  the stored value that becomes an input
    inner   nodes from constants to the node's inputs (Transpose, Reshape ... of the weight, too), in running order
    stored  constants that they and the node read, other than the weight
    feeds   the node's inputs that depend on the model's inputs
    output  the node's first output
    """

    node: ir.Node
    weight: ir.Value
    inner: tuple[ir.Node, ...]
    stored: tuple[Stored, ...]
    feeds: tuple[Given, ...]
    output: Given

    @property
    def seen(self) -> tuple[Given, ...]:
        """What has to be recorded."""
        return (*self.feeds, self.output)


def isolate(
    node: ir.Node,
    weight: ir.Value,
    stored: Mapping[ir.Value, Stored],
    is_constant: Callable[[ir.Value], bool],
    keys: Mapping[ir.Value, str],
) -> OneNode | None:
    """Cut a node out; None when it has no output or depends on values that cannot be recorded.

    stored       every stored tensor of the model by its value
    is_constant  whether a value depends on constants alone
    keys         the key of every value that can be recorded, and of the model's inputs
    """
    import onnx_ir as ir

    output = next((value for value in node.outputs if value.name), None)
    if output is None or output not in keys:
        return None
    inner: dict[ir.Node, None] = {}
    constants: dict[ir.Value, Stored] = {}
    feeds: dict[ir.Value, Given] = {}
    for position, value in enumerate(node.inputs):
        if value is None or value is weight:
            continue
        if is_constant(value):
            _constants_behind(value, weight, stored, inner, constants)
        elif value in keys:
            dtype = ir.DataType[_INDICES.get((node.op_type, position), "FLOAT")]
            feeds[value] = Given(value.name or "", keys[value], int(dtype))
        else:
            return None
    given = Given(output.name or "", keys[output], int(ir.DataType.FLOAT))
    return OneNode(node, weight, tuple(inner), tuple(constants.values()), tuple(feeds.values()), given)


def cut_out(graph: ir.Model, layers: Sequence[Layer]) -> tuple[dict[str, tuple[OneNode, ...]], dict[str, str]]:
    """For each layer the nodes that use it, cut out; or the reason why its values cannot be recorded."""
    from core.model.graph import node_key, places
    from core.model.origins import Origins

    everywhere = [place for place in places(graph) if not place.function]
    origins = Origins(graph, everywhere)
    by_name = {stored.name: stored for stored in origins.stored.values()}
    nodes = {node_key(node): node for place in everywhere for node in place.graph}
    keys = {inner.value: key for key, inner in inner_values(graph).items()}
    keys.update((value, value.name or "") for value in graph.graph.inputs)
    cuts: dict[str, tuple[OneNode, ...]] = {}
    reasons: dict[str, str] = {}
    for layer in layers:
        stored = by_name.get(layer.name)
        if stored is None or layer.locked:
            reasons[layer.name] = layer.locked or "it is stored in an encoding"
            continue
        if layer.dtype != "float32" and any(use.scope for use in layer.uses):
            reasons[layer.name] = f"it is {layer.dtype} inside a branch, where the types of values are not known"
            continue
        found = [
            isolate(nodes[key], stored.value, origins.stored, lambda value: origins.of(value) is not None, keys)
            for key in dict.fromkeys(use.node for use in layer.uses)
        ]
        whole = tuple(cut for cut in found if cut is not None)
        if whole and len(whole) == len(found):
            cuts[layer.name] = whole
        else:
            reasons[layer.name] = (
                "it is used inside a loop or by a node without outputs, whose values cannot be recorded"
            )
    return cuts, reasons


def seen_by(cuts: Iterable[Sequence[OneNode]]) -> dict[str, int]:
    """Keys of all inputs and outputs of the cuts, each once, with their types."""
    return {given.key: given.dtype for found in cuts for cut in found for given in cut.seen}


def _constants_behind(
    root: ir.Value,
    weight: ir.Value,
    stored: Mapping[ir.Value, Stored],
    inner: dict[ir.Node, None],
    constants: dict[ir.Value, Stored],
) -> None:
    """Add the nodes that compute `root`, in running order, and the tensors they read; stops at the weight."""
    stack: list[tuple[ir.Value, bool]] = [(root, False)]
    while stack:
        value, ready = stack.pop()
        producer = value.producer()
        if value is weight or value in constants:
            continue
        if value in stored:
            constants[value] = stored[value]
        elif producer is not None and producer not in inner:
            if ready:
                inner[producer] = None
                continue
            stack.append((value, True))
            stack.extend((source, False) for source in producer.inputs if source is not None)


def build(cut: OneNode, model: ir.Model, feeds: Mapping[str, Array]) -> bytes:
    """The serialized one-node model. Inputs: WEIGHT and the cut's feeds; output: the cut's output.

    feeds  a recorded array for each key, for type and number of axes
    """
    import onnx
    import onnx_ir as ir
    from onnx import helper

    inputs = [helper.make_tensor_value_info(WEIGHT, onnx.TensorProto.FLOAT, None)]
    for given in cut.feeds:
        array = feeds[given.key]
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        inputs.append(helper.make_tensor_value_info(given.name, kind, [None] * array.ndim))
    nodes = [_weight_node(cut.weight, _dtype(cut.weight))]
    nodes += [ir.to_proto(node) for node in (*cut.inner, cut.node)]
    graph = helper.make_graph(
        nodes, "one node", inputs, [onnx.ValueInfoProto(name=cut.output.name)], [_tensor(s) for s in cut.stored]
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
        raise InternalError(f"the constant {stored.name!r} has no tensor")
    copied = ir.tensor(tensor.numpy(), dtype=tensor.dtype, name=stored.value.name)
    return ir.to_proto(copied)
