"""Static int8 layers as float operators between QuantizeLinear and DequantizeLinear, which a runtime fuses.

A weight becomes codes behind a DequantizeLinear, a bias int32 with the scale of the products, and the nodes are marked;
when all layers are written, `quantized_values.place` puts pairs of QuantizeLinear and DequantizeLinear on the values
that enter and leave them. ONNX Runtime makes QLinearConv, QGemm, QLinearMatMul and MatMulIntegerToFloat of that.
Source: ONNX Runtime, "Quantize ONNX models" (tensor-oriented format, QDQ).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from core.encoding.base import Array, Emitter, Encoding, Shape
from core.encoding.counting import emitted_size
from core.encoding.emitter import GraphEmitter
from core.encoding.integer import Integer, Static
from core.errors import InternalError
from core.exporting.building import tensor_bytes
from core.exporting.quantized_values import MARK, Mark, bias_bytes, pair_bytes, place, plan
from core.exporting.uses import ToIr
from core.exporting.uses._linear import integer_uses
from core.model.graph import Stored, replace_stored


@dataclass(frozen=True, eq=False)
class Dequantized(Encoding):
    """The codes of an integer weight behind a DequantizeLinear: the form that a runtime multiplies as integers.

    zero_points  state them although they are zero: without, ONNX Runtime leaves a Gemm in float
    """

    source: Integer
    zero_points: bool = False
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.source.shape)

    def parts(self) -> tuple[Array, Array, Array]:
        """Codes; positive scales and zero points, () or (channels,). A folded norm may have given other scales."""
        axis = self.source.channel_axis
        scales = self.source.weight.stored_scale.decode().reshape(-1)
        spread = scales if axis is None else scales.reshape([-1 if a == axis else 1 for a in range(len(self.shape))])
        codes, zero = self.source.stored_codes(spread < 0)
        positive = np.abs(scales)
        positive[positive == 0] = np.finfo(np.float32).tiny  # the products vanish, and a bias can be divided by it
        zeros = np.full(scales.shape, zero)
        return (codes, positive[0], zeros[0]) if axis is None else (codes, positive, zeros)

    @property
    def states_zeros(self) -> bool:
        return self.zero_points or self.source.unsigned

    def decode(self) -> Array:
        return self.source.decode()

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        if shape != self.shape:
            raise InternalError(f"codes of shape {self.shape} are not emitted as {shape}")
        codes, scales, zeros = self.parts()
        axis = self.source.channel_axis
        inputs = [out.tensor(codes), out.tensor(scales)]
        if self.states_zeros:
            inputs.append(out.constant(zeros))
        return out.node("DequantizeLinear", inputs) if axis is None else out.node("DequantizeLinear", inputs, axis=axis)

    def describe(self) -> str:
        return self.source.describe()


def _rewrite(stored: Stored, encoding: Static, emitter: GraphEmitter, to_ir: ToIr, names: Iterator[str]) -> bool:
    nodes = integer_uses(stored)
    if nodes is None:
        return False
    tensors, made = len(emitter.tensors), len(emitter.nodes)
    emitter.emit(_stored_form(encoding, nodes), next(names))
    values, new = to_ir(emitter.tensors[tensors:], emitter.nodes[made:], stored)
    replace_stored(stored, new, values.values(), new[-1].outputs[0])
    for node in new:
        node.name = None
    new[-1].outputs[0].type = new[-1].outputs[0].shape = None
    for node in nodes:
        node.meta[MARK] = Mark(encoding.input, encoding.output, new[-1])
    return True


def _stored_form(encoding: Static, nodes: list[ir.Node]) -> Dequantized:
    return Dequantized(encoding, zero_points=any(node.op_type == "Gemm" for node in nodes))


def _simulate(stored: Stored, encoding: Static, names: Iterator[str]) -> None:
    for node in integer_uses(stored) or ():
        node.meta[MARK] = Mark(encoding.input, encoding.output, None)


def _own(stored: Stored, encoding: Static, opset: int) -> int | None:
    """What the integer form of the weight takes, and its biases beyond the float ones."""
    nodes = integer_uses(stored)
    if nodes is None:
        return None
    size = emitted_size(_stored_form(encoding, nodes), opset, value_name_length=len(str(stored.value.name).encode()))
    shared = sum(constant.total for constant in size.constants)
    return size.total - shared + sum(bias_bytes(node) for node in nodes)


def _joint(layers: Sequence[tuple[Stored, Static]]) -> int:
    """What the pairs of QuantizeLinear and DequantizeLinear take, and the weights' zero points."""
    marks, zeros = {}, set()
    for stored, encoding in layers:
        nodes = integer_uses(stored) or []
        form = _stored_form(encoding, nodes)
        if form.states_zeros:
            zeros.add((form.parts()[2].tobytes(), encoding.unsigned, id(stored.place.graph)))
        marks.update({node: Mark(encoding.input, encoding.output, None) for node in nodes})
    stated = sum(tensor_bytes(np.frombuffer(content, np.uint8)) for content, _, _ in zeros)
    return stated + (pair_bytes(plan(marks)) if marks else 0)


REWRITES = {Static: _rewrite}
OWN = {Static: _own}
JOINT = {Static: _joint}
SIMULATES = {Static: _simulate}
PLACE = place
