"""Linear layers and embeddings whose weights stay packed while the model runs.

Case 1  MatMul(x, W)      -> MatMulNBits(x)
Case 2  Gemm(x, W, b)     -> MatMulNBits(x) with the bias     (transA = 0, alpha = beta = 1)
Case 3  Gather(W, ids)    -> GatherBlockQuantized(ids)         (axis 0)
Source: operator definitions of ONNX Runtime's com.microsoft domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from core.encoding.base import Array
from core.encoding.emitter import GraphEmitter
from core.encoding.packed import Packed, PackedEmbedding, PackedLinear
from core.exporting.building import (
    MICROSOFT,
    Builder,
    free_name,
    graph_of,
    insert_before,
    node_bytes,
    take_over,
    tensor_bytes,
)
from core.exporting.uses import ToIr
from core.exporting.uses._linear import integer_uses
from core.model.graph import Stored, attribute

_INT8_INPUTS = 4
"""MatMulNBits' accuracy_level for inputs rounded to int8; 1 is float32."""


def _linear_uses(stored: Stored, encoding: PackedLinear) -> list[ir.Node] | None:
    """The nodes that multiply rows of the blocks' direction, when all uses are such nodes."""
    nodes = integer_uses(stored)
    if not nodes or any(node.op_type == "Conv" for node in nodes):
        return None
    fits = all(bool(attribute(node, "transB", 0)) != encoding.across for node in nodes)
    biases = (node.inputs[2] if len(node.inputs) > 2 else None for node in nodes)
    outputs = encoding.shape[1 if encoding.across else 0]
    plain = all(b is None or (b.const_value is not None and b.const_value.shape.numpy() == (outputs,)) for b in biases)
    return nodes if fits and plain else None


def _embedding_uses(stored: Stored, encoding: PackedEmbedding) -> list[ir.Node] | None:
    if stored.value.is_graph_output() or stored.tensor is None or stored.tensor.dtype != ir.DataType.FLOAT:
        return None
    nodes = []
    for node, index in stored.value.uses():
        plain = index == 0 and node.op_type == "Gather" and node.domain in ("", "ai.onnx")
        if not plain or attribute(node, "axis", 0) != 0 or not isinstance(node.graph, ir.Graph) or encoding.across:
            return None
        nodes.append(node)
    return nodes or None


def _uses(stored: Stored, encoding: Packed) -> list[ir.Node] | None:
    if isinstance(encoding, PackedLinear):
        return _linear_uses(stored, encoding)
    return _embedding_uses(stored, encoding) if isinstance(encoding, PackedEmbedding) else None


def _arrays(encoding: Packed) -> tuple[Array, ...]:
    packed, scales, zeros = encoding.parts()
    if isinstance(encoding, PackedEmbedding):
        packed = packed.reshape(packed.shape[0], -1)[:, : -(-encoding.shape[1] * encoding.bits // 8)]
    return (packed, scales) if zeros is None else (packed, scales, zeros)


def _attributes(encoding: Packed) -> dict[str, int]:
    if isinstance(encoding, PackedLinear):
        inputs, outputs = encoding.shape if encoding.across else encoding.shape[::-1]
        level = _INT8_INPUTS if encoding.accuracy == "int8" else 1
        return {
            "K": inputs, "N": outputs, "bits": encoding.bits, "block_size": encoding.block, "accuracy_level": level,
        }
    return {"gather_axis": 0, "quantize_axis": 1, "bits": encoding.bits, "block_size": encoding.block}


def _rewrite(stored: Stored, encoding: Packed, emitter: GraphEmitter, to_ir: ToIr, names: Iterator[str]) -> bool:
    nodes, graph = _uses(stored, encoding), stored.place.graph
    if nodes is None or not isinstance(graph, ir.Graph):
        return False
    builder = Builder(names)
    packed, *rest = _arrays(encoding)
    weight = builder.tensor(graph, np.ascontiguousarray(packed), free_name(stored, names))
    others = [builder.tensor(graph, array) for array in rest]
    for node in nodes:
        inputs: list[ir.Value | None]
        if isinstance(encoding, PackedLinear):
            inputs = [node.inputs[0], weight, *others]
            bias = node.inputs[2] if len(node.inputs) > 2 else None
            if bias is not None:
                inputs += [None] * (5 - len(inputs)) + [bias]
            made = builder.node("MatMulNBits", inputs, domain=MICROSOFT, **_attributes(encoding))
        else:
            inputs = [weight, node.inputs[1], *others]
            made = builder.node("GatherBlockQuantized", inputs, domain=MICROSOFT, **_attributes(encoding))
        insert_before(node, [made])
        take_over(node.outputs[0], made.outputs[0])
        graph_of(node).remove(node, safe=True)
    return True


def _simulate(stored: Stored, encoding: PackedLinear, names: Iterator[str]) -> None:
    """Round each block of the inputs to -127..127 times a scale, as MatMulNBits does."""
    nodes = _linear_uses(stored, encoding)
    builder = Builder(names)
    for node in nodes or ():
        made: list[ir.Node] = []

        def step(op: str, *inputs: ir.Value | None, made: list[ir.Node] = made, **attributes: Any) -> ir.Value:
            made.append(builder.node(op, inputs, **attributes))
            return made[-1].outputs[0]

        value, graph = node.inputs[0], graph_of(node)
        length = encoding.shape[0 if encoding.across else 1]
        blocks = -(-length // encoding.block)
        wide = np.eye(length, blocks * encoding.block, dtype=np.float32)  # fills the last block up
        whole = value if wide.shape[0] == wide.shape[1] else step("MatMul", value, builder.constant(graph, wide))
        cut = step("Reshape", whole, builder.constant(graph, np.array([-1, blocks, encoding.block], np.int64)))
        scale = step("Div", step("GlobalMaxPool", step("Abs", cut)), builder.constant(graph, np.array(127, np.float32)))
        scale = step("Add", scale, builder.constant(graph, np.array(np.finfo(np.float32).tiny)))
        rounded = step("Mul", step("Round", step("Div", cut, scale)), scale)
        back = step("Reshape", rounded, step("Shape", whole))
        if whole is not value:
            back = step("MatMul", back, builder.constant(graph, np.ascontiguousarray(wide.T)))
        insert_before(node, made)
        node.replace_input_with(0, back)


def _own(stored: Stored, encoding: Packed, opset: int) -> int | None:
    nodes = _uses(stored, encoding)
    if nodes is None:
        return None
    arrays = _arrays(encoding)
    longer = len(str(stored.value.name).encode()) - len("w100")
    total = tensor_bytes(*arrays) + longer
    op = "MatMulNBits" if isinstance(encoding, PackedLinear) else "GatherBlockQuantized"
    attributes: dict[str, Any] = _attributes(encoding)
    for node in nodes:
        used = 1 + len(arrays) + (len(node.inputs) > 2)
        total += node_bytes(op, used, domain=MICROSOFT, **attributes) + longer - int(ir.to_proto(node).ByteSize()) - 2
    return total


def _import_domain(model: ir.Model, names: Iterator[str]) -> None:
    """State the operators' domain where a node is of it."""
    if any(node.domain == MICROSOFT for node in model.graph.all_nodes()):
        model.opset_imports.setdefault(MICROSOFT, 1)


REWRITES = {PackedLinear: _rewrite, PackedEmbedding: _rewrite}
OWN = {PackedLinear: _own, PackedEmbedding: _own}
SIMULATES = {PackedLinear: _simulate}
PLACE = _import_domain
