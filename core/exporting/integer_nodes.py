"""Reading back from an exported graph what a layer that multiplies integers was made of.

The stored numbers are put together here by the definitions of the ONNX operators and not by what wrote them, so that
`integer_check` finds where the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import onnx_ir as ir

from core.encoding.base import Array
from core.encoding.integer import Levels
from core.errors import GateError
from core.model.graph import attribute


@dataclass(frozen=True)
class Product:
    """One use of a layer in the exported graph.

    weight    float32 of the layer's stored shape, as its codes, scales and zero points dequantize
    step      what one more code adds to it, of a shape that broadcasts with it
    entering  the float value that the layer rounds and multiplies
    leaving   the float value that it gives, its bias added
    bias      the value added to the products; None without one
    levels    of what enters, where they are stored; None where the operators find them as they run
    """

    weight: Array
    step: Array
    entering: ir.Value
    leaving: ir.Value
    bias: ir.Value | None
    levels: Levels | None = None


def wrong(layer: str, what: str) -> NoReturn:
    """Refuse the export for one of its layers; `what` is a clause."""
    raise GateError(what, where=f"layer {layer}", do="nothing was written; please report this model")


def read_product(node: ir.Node, use: ir.Node, layer: str) -> Product:
    """What a node of the exported graph multiplies.

    node  the node that takes the codes: MatMulInteger, MatMulNBits, or the float operator behind a DequantizeLinear
    use   the node that uses the layer's weight in the float graph
    Raises GateError where the nodes around it are not connected as they must be.
    """
    transposed = bool(attribute(use, "transB", 0))
    if node.op_type == "MatMulInteger":
        return _dynamic(node, transposed, len(use.inputs) > 2 and use.inputs[2] is not None, layer)
    return _packed(node, transposed, layer) if node.op_type == "MatMulNBits" else _static(node, layer)


def numbers(value: ir.Value | None, layer: str) -> Array:
    """The content of a stored tensor."""
    if value is None or value.const_value is None or value.producer() is not None:
        wrong(layer, "numbers that belong to it are not stored")
    return np.asarray(value.const_value.numpy())


def pair_levels(quantize: ir.Node, layer: str) -> tuple[Levels, ir.Value]:
    """The levels of a QuantizeLinear, and the float value behind the DequantizeLinear that follows it."""
    back = next((use for use in quantize.outputs[0].consumers() if use.op_type == "DequantizeLinear"), None)
    if back is None:
        wrong(layer, "a rounded value is not turned back")
    pairs = [
        Levels(float(numbers(node.inputs[1], layer)), int(numbers(node.inputs[2], layer))) for node in (quantize, back)
    ]
    if pairs[0] != pairs[1]:
        wrong(layer, "a value is rounded at other levels than it is turned back at")
    return pairs[0], back.outputs[0]


def bias_numbers(value: ir.Value, layer: str) -> tuple[Array, Array] | None:
    """A bias as stored and the most that it was rounded by, both (outputs,) or (); None when it is computed."""
    node = value.producer()
    if node is None:
        return (numbers(value, layer), np.zeros((), np.float32)) if value.const_value is not None else None
    if node.op_type != "DequantizeLinear" or node.inputs[0] is None or node.inputs[0].const_value is None:
        return None
    codes, steps = numbers(node.inputs[0], layer), numbers(node.inputs[1], layer)
    if codes.dtype != np.int32:
        wrong(layer, f"the bias is stored as {codes.dtype}, not int32")
    return codes * steps.astype(np.float64), steps / 2


def _static(node: ir.Node, layer: str) -> Product:
    """DequantizeLinear of the codes and of what enters, both before a float operator."""
    back, stored = (value.producer() if value is not None else None for value in node.inputs[:2])
    quantize = back.inputs[0].producer() if back is not None and back.inputs[0] is not None else None
    if stored is None or quantize is None or quantize.op_type != "QuantizeLinear" or quantize.inputs[0] is None:
        wrong(layer, "what enters it is not rounded")
    levels, _ = pair_levels(quantize, layer)
    codes, scales = numbers(stored.inputs[0], layer), numbers(stored.inputs[1], layer)
    zeros = numbers(stored.inputs[2], layer) if len(stored.inputs) > 2 else np.zeros((), np.int8)
    if scales.ndim:
        axis = attribute(stored, "axis", 1)
        spread = [-1 if a == axis else 1 for a in range(codes.ndim)]
        scales, zeros = scales.reshape(spread), zeros.reshape(spread) if zeros.ndim else zeros
    weight = (codes.astype(np.float32) - zeros.astype(np.float32)) * scales
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return Product(weight, scales, quantize.inputs[0], node.outputs[0], bias, levels)


def _dynamic(node: ir.Node, transposed: bool, with_bias: bool, layer: str) -> Product:
    """DynamicQuantizeLinear, MatMulInteger, Cast, Mul with the product of both scales, Add of the bias."""
    rounding = node.inputs[0].producer() if node.inputs[0] is not None else None
    if rounding is None or rounding.op_type != "DynamicQuantizeLinear" or node.inputs[2] is not rounding.outputs[2]:
        wrong(layer, "what enters it is not rounded by its own range")
    wide = _next(node, "Cast", layer)
    scaled = _next(wide, "Mul", layer)
    steps = next((value for value in scaled.inputs if value is not wide.outputs[0]), None)
    product = steps.producer() if steps is not None else None
    if product is None or product.op_type != "Mul" or rounding.outputs[1] not in product.inputs:
        wrong(layer, "its products are not multiplied by both scales")
    scales = numbers(next((value for value in product.inputs if value is not rounding.outputs[1]), None), layer)
    codes = numbers(node.inputs[1], layer).astype(np.float32)
    if len(node.inputs) > 3:
        codes -= numbers(node.inputs[3], layer).astype(np.float32)
    last, bias = scaled, None
    if with_bias:
        last = _next(scaled, "Add", layer)
        bias = next((value for value in last.inputs if value is not scaled.outputs[0]), None)
    weight, step = codes * scales, np.broadcast_to(scales, codes.shape)
    entering = rounding.inputs[0]
    if entering is None:
        wrong(layer, "nothing enters it")
    return Product(weight.T if transposed else weight, step.T if transposed else step, entering, last.outputs[0], bias)


def _packed(node: ir.Node, transposed: bool, layer: str) -> Product:
    """MatMulNBits: rows of outputs, the first code of a byte in its lowest bits, zero points packed alike."""
    attributes = {key: attribute(node, key, 0) for key in ("K", "N", "bits", "block_size")}
    length, rows, bits, block = attributes.values()
    codes = unpacked(numbers(node.inputs[1], layer).reshape(rows, -1), bits).astype(np.float32)
    scales = numbers(node.inputs[2], layer).reshape(rows, -1)
    zeros = np.full(scales.shape, 1 << (bits - 1), np.float32)
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        packed = numbers(node.inputs[3], layer).reshape(rows, -1)
        zeros = unpacked(packed, bits)[:, : scales.shape[1]].astype(np.float32)
    step, offset = (np.repeat(part, block, 1)[:, :length] for part in (scales, zeros))
    weight = (codes[:, :length] - offset) * step
    bias = node.inputs[5] if len(node.inputs) > 5 else None
    entering = node.inputs[0]
    if entering is None:
        wrong(layer, "nothing enters it")
    return Product(
        weight if transposed else weight.T, step if transposed else step.T, entering, node.outputs[0], bias
    )


def unpacked(packed: Array, bits: int) -> Array:
    """(rows, n * 8 / bits) codes of (rows, n) bytes, the first in a byte's lowest bits."""
    places = np.arange(0, 8, bits, dtype=np.uint8)
    return ((packed[:, :, None] >> places) & np.uint8((1 << bits) - 1)).reshape(packed.shape[0], -1)


def _next(node: ir.Node, op: str, layer: str) -> ir.Node:
    found = [use for use in node.outputs[0].consumers() if use.op_type == op]
    if len(found) != 1:
        wrong(layer, f"{len(found)} {op} nodes follow its {node.op_type}, where there must be one")
    return found[0]
