"""Linear layers as integer products, with inputs rounded to 8 bits by the range that they have in each run.

Case 1  MatMul(x, W)     DynamicQuantizeLinear(x), MatMulInteger, Cast, Mul with both scales
Case 2  Gemm(x, W, b)    the same and an Add
Layers with the same input share its DynamicQuantizeLinear. ONNX Runtime makes one DynamicQuantizeMatMul, or one
MatMulIntegerToFloat, of each. Source: the definitions of the ONNX operators.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from core.encoding.base import Array
from core.encoding.emitter import GraphEmitter
from core.encoding.integer import Dynamic
from core.errors import InternalError
from core.exporting.building import (
    Builder,
    free_name,
    graph_of,
    insert_after,
    insert_before,
    node_bytes,
    take_over,
    tensor_bytes,
)
from core.exporting.uses import ToIr
from core.exporting.uses._linear import integer_uses
from core.model.graph import Stored, attribute

_ROUND = "DynamicQuantizeLinear"


def _linear_uses(stored: Stored) -> tuple[list[ir.Node], bool] | None:
    """The Linear nodes that use the weight, and whether they want it transposed; None for other or mixed uses."""
    nodes = integer_uses(stored)
    if not nodes or len(stored.shape) != 2 or any(node.op_type == "Conv" for node in nodes):
        return None
    transposed = {bool(attribute(node, "transB", 0)) for node in nodes}
    return (nodes, transposed.pop()) if len(transposed) == 1 else None


def _parts(encoding: Dynamic, transposed: bool) -> tuple[Array, Array, Array]:
    """Codes (inputs, outputs), their zero point, and scales: (outputs,) or ()."""
    codes, zero = encoding.stored_codes()
    scales = encoding.weight.stored_scale.decode().reshape(-1)
    axis = encoding.channel_axis
    return np.ascontiguousarray(codes.T if transposed else codes), zero, scales[0] if axis is None else scales


def _fits(encoding: Dynamic, transposed: bool) -> bool:
    """Whether scales, if they change, do so along the outputs."""
    return encoding.channel_axis in (None, 0 if transposed else 1)


def _rewrite(stored: Stored, encoding: Dynamic, emitter: GraphEmitter, to_ir: ToIr, names: Iterator[str]) -> bool:
    uses = _linear_uses(stored)
    graph = stored.place.graph
    if uses is None or not _fits(encoding, uses[1]) or not isinstance(graph, ir.Graph):
        return False
    nodes, transposed = uses
    codes, zero, scales = _parts(encoding, transposed)
    builder = Builder(names)
    weight = builder.tensor(graph, codes, free_name(stored, names))
    scale = builder.tensor(graph, scales)
    zeros = [builder.tensor(graph, zero)] if encoding.unsigned else []
    for node in nodes:
        _rewrite_node(node, [weight, *zeros], scale, builder)
    return True


def _rewrite_node(node: ir.Node, weight: list[ir.Value], scale: ir.Value, builder: Builder) -> None:
    rounded, step, zero = _rounded(node, builder)
    product = builder.node("MatMulInteger", [rounded, weight[0], zero, *weight[1:]])
    wide = builder.node("Cast", [product.outputs[0]], to=int(ir.DataType.FLOAT))
    steps = builder.node("Mul", [step, scale])
    made = [product, wide, steps, builder.node("Mul", [wide.outputs[0], steps.outputs[0]])]
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        made.append(builder.node("Add", [made[-1].outputs[0], node.inputs[2]]))
    insert_before(node, made)
    take_over(node.outputs[0], made[-1].outputs[0])
    graph_of(node).remove(node, safe=True)


def _rounded(node: ir.Node, builder: Builder) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Codes, step and zero point of the node's input; layers of one graph that have the same input share them."""
    value = node.inputs[0]
    if value is None:
        raise InternalError(f"{node.name!r} has no input")
    made = next((use for use in value.consumers() if use.op_type == _ROUND and use.graph is node.graph), None)
    if made is None:
        made = builder.node(_ROUND, [value], outputs=3)
        producer = value.producer()
        if producer is None or producer.graph is node.graph:
            insert_after(value, [made])
        else:  # the value comes from the graph around the node's own, which may not need it rounded
            insert_before(node, [made])
    codes, step, zero = made.outputs
    return codes, step, zero


def _simulate(stored: Stored, encoding: Dynamic, names: Iterator[str]) -> None:
    uses = _linear_uses(stored)
    if uses is None or not _fits(encoding, uses[1]):
        return
    builder = Builder(names)
    for node in uses[0]:
        made = builder.node(_ROUND, [node.inputs[0]], outputs=3)
        back = builder.node("DequantizeLinear", list(made.outputs))
        insert_before(node, [made, back])
        node.replace_input_with(0, back.outputs[0])


def _own(stored: Stored, encoding: Dynamic, opset: int) -> int | None:
    """What the weight and the rewritten nodes take, less the nodes that were."""
    uses = _linear_uses(stored)
    if uses is None or not _fits(encoding, uses[1]):
        return None
    codes, zero, scales = _parts(encoding, uses[1])
    name = len(str(stored.value.name).encode())
    total = tensor_bytes(codes, scales, *([zero] if encoding.unsigned else [])) + name - len("w100")
    product = 4 if encoding.unsigned else 3
    for node in uses[0]:
        total += node_bytes("MatMulInteger", product) + name - len("w100") + node_bytes("Cast", 1, to=1)
        total += 2 * node_bytes("Mul", 2) + (node_bytes("Add", 2) if len(node.inputs) > 2 else 0)
        value = node.inputs[0]
        sharing = sum(use.op_type == node.op_type for use in value.consumers()) if value is not None else 1
        total += node_bytes(_ROUND, 1, 3) // sharing - int(ir.to_proto(node).ByteSize()) - 2
    return total


REWRITES = {Dynamic: _rewrite}
SIMULATES = {Dynamic: _simulate}
OWN = {Dynamic: _own}
