"""Which inputs of which operators are weights, of which kind, and which axes are channels. A new operator is one entry.

Source: the operator definitions of ONNX and of ONNX Runtime's com.microsoft domain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from core.model.graph import attribute
from core.model.layer import Kind


@dataclass(frozen=True)
class Role:
    """What a node's input is to the node; axes are axes of the value that arrives at the node."""

    kind: Kind
    output_axis: int | None = None
    input_axis: int | None = None
    groups: int = 1
    quantized: bool = False


Shape = tuple[int, ...] | None
Rule = Callable[[ir.Node, int, Shape], Role | None]

WEIGHT_ORDER = (Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE, Kind.LINEAR, Kind.RECURRENT, Kind.EMBEDDING, Kind.NORM,
                Kind.OTHER)
"""Heaviest first: a tensor that several kinds of nodes use counts as the first of them."""


def role(node: ir.Node, index: int, shape: Shape) -> Role | None:
    """The role of input `index`, whose shape is `shape` (None when unknown), or None when it is no weight."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    rule = _RULES.get((domain, node.op_type))
    return rule(node, index, shape) if rule else None


def is_bias(node: ir.Node, index: int) -> bool:
    """Whether the input is a bias or state of two dimensions, which is no weight."""
    return node.op_type in ("LSTM", "GRU", "RNN") and index > 2


def is_quantized(node: ir.Node) -> bool:
    """Whether the operator takes quantized weights, so that its other constants are their scales and zero points."""
    roles = (role(node, index, None) for index in range(len(node.inputs)))
    return any(found is not None and found.quantized for found in roles)


def _at(*indices: int, make: Callable[[ir.Node, Shape, int], Role | None]) -> Rule:
    return lambda node, index, shape: make(node, shape, index) if index in indices else None


def _conv(node: ir.Node, shape: Shape, index: int) -> Role:
    groups = attribute(node, "group", 1)
    depthwise = groups > 1 and shape is not None and len(shape) > 1 and shape[1] == 1
    return Role(Kind.DEPTHWISE if depthwise else Kind.CONV, 0, 1, groups)


def _conv_transpose(node: ir.Node, shape: Shape, index: int) -> Role:
    return Role(Kind.CONV_TRANSPOSE, 1, 0, attribute(node, "group", 1))


def _matmul(node: ir.Node, shape: Shape, index: int) -> Role | None:
    """Right operand: (..., in, out). Left operand: (..., out, in), as each of its rows makes one row of the result."""
    if shape is None:
        return Role(Kind.LINEAR)
    rank = len(shape)
    if rank < 2:
        return None
    right = index != 0
    swapped = bool(attribute(node, "transB" if right else "transA", 0))
    last_is_output = right != swapped
    return Role(Kind.LINEAR, rank - 1 if last_is_output else rank - 2, rank - 2 if last_is_output else rank - 1)


def _einsum(node: ir.Node, index: int, shape: Shape) -> Role | None:
    return Role(Kind.LINEAR) if shape is None or len(shape) >= 2 else None


def _gather(node: ir.Node, shape: Shape, index: int) -> Role | None:
    if shape is None:
        return Role(Kind.EMBEDDING)
    axis = attribute(node, "axis", 0) % max(len(shape), 1)
    if len(shape) < 2:
        return None
    return Role(Kind.EMBEDDING, axis, 1 - axis if len(shape) == 2 else None)


def _recurrent(node: ir.Node, shape: Shape, index: int) -> Role:
    """W: (directions, gates x hidden, input); R: (directions, gates x hidden, hidden)."""
    return Role(Kind.RECURRENT, 1, 2)


def _norm(node: ir.Node, shape: Shape, index: int) -> Role:
    return Role(Kind.NORM, 0 if shape is not None and len(shape) == 1 else None)


def _fixed(kind: Kind, output_axis: int | None, input_axis: int | None) -> Callable[[ir.Node, Shape, int], Role]:
    return lambda node, shape, index: Role(kind, output_axis, input_axis)


def _quantized(kind: Kind, output_axis: int | None, input_axis: int | None) -> Callable[[ir.Node, Shape, int], Role]:
    return lambda node, shape, index: Role(kind, output_axis, input_axis, quantized=True)


_MS = "com.microsoft"
_RULES: dict[tuple[str, str], Rule] = {
    ("", "Conv"): _at(1, make=_conv),
    (_MS, "FusedConv"): _at(1, make=_conv),
    (_MS, "NhwcFusedConv"): _at(1, make=_conv),
    ("", "ConvTranspose"): _at(1, make=_conv_transpose),
    ("", "MatMul"): _at(0, 1, make=_matmul),
    ("", "Gemm"): _at(0, 1, make=_matmul),
    (_MS, "FusedMatMul"): _at(0, 1, make=_matmul),
    (_MS, "FusedGemm"): _at(0, 1, make=_matmul),
    ("", "Einsum"): _einsum,
    ("", "Gather"): _at(0, make=_gather),
    (_MS, "EmbedLayerNormalization"): _at(2, 3, 4, make=_fixed(Kind.EMBEDDING, 0, 1)),
    (_MS, "Attention"): _at(1, make=_fixed(Kind.LINEAR, 1, 0)),
    ("", "LSTM"): _at(1, 2, make=_recurrent),
    ("", "GRU"): _at(1, 2, make=_recurrent),
    ("", "RNN"): _at(1, 2, make=_recurrent),
    ("", "BatchNormalization"): _at(1, 2, 3, 4, make=_norm),
    ("", "LayerNormalization"): _at(1, 2, make=_norm),
    ("", "InstanceNormalization"): _at(1, 2, make=_norm),
    ("", "GroupNormalization"): _at(1, 2, make=_norm),
    ("", "RMSNormalization"): _at(1, make=_norm),
    ("", "SimplifiedLayerNormalization"): _at(1, make=_norm),
    (_MS, "SkipLayerNormalization"): _at(2, 3, make=_norm),
    (_MS, "SkipSimplifiedLayerNormalization"): _at(2, make=_norm),
    (_MS, "GroupNorm"): _at(1, 2, make=_norm),
    ("", "ConvInteger"): _at(1, make=_quantized(Kind.CONV, 0, 1)),
    ("", "QLinearConv"): _at(3, make=_quantized(Kind.CONV, 0, 1)),
    (_MS, "QLinearConv"): _at(3, make=_quantized(Kind.CONV, 0, 1)),
    ("", "MatMulInteger"): _at(0, 1, make=_quantized(Kind.LINEAR, 1, 0)),
    (_MS, "MatMulIntegerToFloat"): _at(1, make=_quantized(Kind.LINEAR, 1, 0)),
    (_MS, "DynamicQuantizeMatMul"): _at(1, make=_quantized(Kind.LINEAR, 1, 0)),
    ("", "QLinearMatMul"): _at(0, 3, make=_quantized(Kind.LINEAR, 1, 0)),
    (_MS, "QGemm"): _at(3, make=_quantized(Kind.LINEAR, None, None)),
    (_MS, "QAttention"): _at(1, make=_quantized(Kind.LINEAR, 1, 0)),
    (_MS, "DynamicQuantizeLSTM"): _at(1, 2, make=_quantized(Kind.RECURRENT, None, None)),
    (_MS, "MatMulNBits"): _at(1, make=_quantized(Kind.LINEAR, 0, None)),
    (_MS, "MatMulBnb4"): _at(1, make=_quantized(Kind.LINEAR, None, None)),
    (_MS, "GatherBlockQuantized"): _at(0, make=_quantized(Kind.EMBEDDING, 0, None)),
}
