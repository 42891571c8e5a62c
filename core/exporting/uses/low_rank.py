"""Low-rank Linear layers and embeddings as two thin layers: the product is never formed, multiply-adds are saved.

With a stored weight W = left @ right:
Case 1  MatMul(x, W)                 -> MatMul(MatMul(x, left), right)
Case 2  Gemm(x, W, b)                -> Gemm(Gemm(x, left), right, b)              (transA = 0)
Case 3  Gemm(x, W, b), transB = 1    -> Gemm(Gemm(x, right, transB), left, b, transB)   (transA = 0)
Case 4  Gather(W, i), axis = 0       -> MatMul(Gather(left, i), right)
A tied weight may have uses of several cases. Any other use leaves the layer to be rebuilt by a MatMul that the runtime
folds: a smaller file at the same speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from core.encoding import LowRank
from core.encoding.emitter import GraphEmitter
from core.exporting.building import Builder, graph_of, insert_after, insert_before, node_bytes
from core.exporting.uses import ToIr
from core.exporting.uses._factors import (
    NAME,
    emitted_bytes,
    field_bytes,
    no_longer_an_input,
    plain_uses,
    write_factor,
)  # fmt: skip
from core.model.graph import Stored, attribute

GEMM_WITHOUT_BIAS = 11
"""Opset from which Gemm's third input may be left out."""


@dataclass(frozen=True)
class _Use:
    node: ir.Node
    transposed: bool = False


def split_uses(stored: Stored, encoding: LowRank, emitter: GraphEmitter, to_ir: ToIr, names: Iterator[str]) -> bool:
    """Rewrite all uses of the tensor as two layers; False (and nothing changed) when one of them is no case."""
    uses = _uses(stored, encoding, emitter.opset)
    if uses is None or not isinstance(stored.place.graph, ir.Graph):
        return False
    left, right = (write_factor(part, stored, emitter, to_ir, names) for part in encoding.children)
    for use in uses:
        if use.node.op_type == "Gather":
            _look_up(use.node, left, right, names)
        else:
            _multiply(use, left, right, names)
    no_longer_an_input(stored)
    return True


def _multiply(use: _Use, left: ir.Value, right: ir.Value, names: Iterator[str]) -> None:
    """Cases 1 to 3: a node before the one that there is."""
    node = use.node
    first, second = (right, left) if use.transposed else (left, right)
    attributes: dict[str, Any] = {"transB": 1} if use.transposed else {}
    inner = Builder(names).node(node.op_type, [node.inputs[0], first], **attributes)
    insert_before(node, [inner])
    node.replace_input_with(0, inner.outputs[0])
    node.replace_input_with(1, second)


def _look_up(node: ir.Node, left: ir.Value, right: ir.Value, names: Iterator[str]) -> None:
    """Case 4: a node behind the one that there is, which gives its name and type up."""
    found = node.outputs[0]
    outer = Builder(names).node("MatMul", [found, right])
    insert_after(found, [outer])
    new = outer.outputs[0]
    node.replace_input_with(0, left)
    new.type, new.shape = found.type, found.shape
    found.type = found.shape = None
    for reader, index in [(use.node, use.idx) for use in found.uses()]:
        if reader is not outer:
            reader.replace_input_with(index, new)
    graph = graph_of(node)
    for index, output in enumerate(graph.outputs):
        if output is found:
            graph.outputs[index] = new
    found.name, new.name = new.name, found.name


def _uses(stored: Stored, encoding: LowRank, opset: int) -> list[_Use] | None:
    plain = plain_uses(stored)
    if plain is None or len(encoding.shape) != 2:
        return None
    found = []
    for node, index in plain:
        if node.op_type == "MatMul" and index == 1:
            found.append(_Use(node))
        elif node.op_type == "Gemm" and index == 1 and opset >= GEMM_WITHOUT_BIAS and not attribute(node, "transA", 0):
            found.append(_Use(node, bool(attribute(node, "transB", 0))))
        elif node.op_type == "Gather" and index == 0 and attribute(node, "axis", 0) in (0, -2):
            found.append(_Use(node))
        else:
            return None
    return found


def extra_bytes(stored: Stored, encoding: LowRank, opset: int) -> int:
    """What two layers take beyond a weight that is rebuilt in place."""
    uses = _uses(stored, encoding, opset)
    if uses is None:
        return 0
    old = len((stored.value.name or "").encode())
    extra = emitted_bytes(encoding.children, opset) - emitted_bytes([encoding], opset, old)
    for use in uses:  # a factor instead of the weight; one more node, and the value between the two
        op = "MatMul" if use.node.op_type == "Gather" else use.node.op_type
        attributes: dict[str, Any] = {"transB": 1} if use.transposed else {}
        extra += field_bytes(NAME) - field_bytes(old) + node_bytes(op, 2, **attributes)
    return extra


REWRITES = {LowRank: split_uses}
EXTRA = {LowRank: extra_bytes}
