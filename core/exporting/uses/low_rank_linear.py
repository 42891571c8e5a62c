"""Low-rank Linear layers as two thin layers, so that the product is never formed and multiply-adds are really saved.

With a stored weight W = left @ right:
Case 1  MatMul(x, W)                 -> MatMul(MatMul(x, left), right)
Case 2  Gemm(x, W, b)                -> Gemm(Gemm(x, left), right, b)              (transA = 0)
Case 3  Gemm(x, W, b), transB = 1    -> Gemm(Gemm(x, right, transB), left, b, transB)   (transA = 0)
Any other use leaves the layer to be rebuilt by a MatMul that the runtime folds: a smaller file at the same speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from core.encoding import Encoding, LowRank
from core.encoding.emitter import GraphEmitter
from core.exporting.uses import ToIr
from core.model.graph import Stored, attribute

GEMM_WITHOUT_BIAS = 11
"""Opset from which Gemm's third input may be left out."""


@dataclass(frozen=True)
class _Use:
    node: ir.Node
    transposed: bool


def split_linear_uses(
    stored: Stored, encoding: LowRank, emitter: GraphEmitter, to_ir: ToIr, names: Iterator[str]
) -> bool:
    """Rewrite all uses of the tensor as two layers; False (and nothing changed) when one of them is no case."""
    graph = stored.place.graph
    uses = _uses(stored, encoding, emitter.opset)
    if uses is None or not isinstance(graph, ir.Graph):
        return False
    left, right = (_emit(part, stored, emitter, to_ir, next(names)) for part in (encoding.left, encoding.right))
    for use in uses:
        first, second = (right, left) if use.transposed else (left, right)
        inner = ir.Node(
            "",
            use.node.op_type,
            [use.node.inputs[0], first],
            _inner_attributes(use),
            outputs=[ir.Value(name=next(names))],
        )
        inner_graph = use.node.graph
        if isinstance(inner_graph, ir.Graph):
            inner_graph.insert_before(use.node, inner)
            inner.name = None
        use.node.replace_input_with(0, inner.outputs[0])
        use.node.replace_input_with(1, second)
    if stored.value in graph.inputs:  # a caller could have replaced it; as an input it would stay in the file
        graph.inputs.remove(stored.value)
    return True


def _uses(stored: Stored, encoding: LowRank, opset: int) -> list[_Use] | None:
    shape = (encoding.left.shape[0], encoding.right.shape[1])
    if stored.value.is_graph_output() or encoding.shape != shape:
        return None
    if stored.tensor is not None and stored.tensor.dtype != ir.DataType.FLOAT:
        return None  # the factors are float32; rebuilt, their product is cast to what the layer computes in
    found = []
    for node, index in stored.value.uses():
        if index != 1 or node.domain not in ("", "ai.onnx") or not isinstance(node.graph, ir.Graph):
            return None
        if node.op_type == "MatMul":
            found.append(_Use(node, False))
        elif node.op_type == "Gemm" and opset >= GEMM_WITHOUT_BIAS and not attribute(node, "transA", 0):
            found.append(_Use(node, bool(attribute(node, "transB", 0))))
        else:
            return None
    return found


def _inner_attributes(use: _Use) -> list[ir.Attr]:
    return [ir.AttrInt64("transB", 1)] if use.transposed else []


def _emit(part: Encoding, stored: Stored, emitter: GraphEmitter, to_ir: ToIr, name: str) -> ir.Value:
    """Write one factor into the tensor's graph and return its value."""
    graph = stored.place.graph
    if not isinstance(graph, ir.Graph):
        raise ValueError("the tensor is not in a graph")
    tensors, nodes = len(emitter.tensors), len(emitter.nodes)
    emitter.emit(part, name)
    values, made = to_ir(emitter.tensors[tensors:], emitter.nodes[nodes:], stored)
    for value in values.values():
        graph.register_initializer(value)
    if stored.node is not None:
        graph.insert_before(stored.node, made)
    elif len(graph):
        graph.insert_before(graph[0], made)
    for node in made:
        node.name = None
    return made[-1].outputs[0] if made else values[name]


REWRITES = {LowRank: split_linear_uses}
