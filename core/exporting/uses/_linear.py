"""Which uses of a weight a runtime can do in integers."""

from __future__ import annotations

import onnx_ir as ir

from core.model.graph import Stored, attribute


def integer_uses(stored: Stored) -> list[ir.Node] | None:
    """The nodes that use a weight, when all of them are operators that a runtime does in integers; else None.

    Case 1  Conv
    Case 2  MatMul, with the weight on the right
    Case 3  Gemm, with the weight on the right, transA = 0, alpha = beta = 1
    """
    if stored.value.is_graph_output() or stored.tensor is None or stored.tensor.dtype != ir.DataType.FLOAT:
        return None
    found = []
    for node, index in stored.value.uses():
        plain = index == 1 and node.domain in ("", "ai.onnx") and isinstance(node.graph, ir.Graph)
        if not plain or not _handled(node) or node.inputs[0] is None or node.inputs[0].const_value is not None:
            return None
        found.append(node)
    return found


def _handled(node: ir.Node) -> bool:
    if node.op_type == "Gemm":
        factors = (node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0))
        return not attribute(node, "transA", 0) and factors == (1.0, 1.0)
    return node.op_type in ("Conv", "MatMul")
