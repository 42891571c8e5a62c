"""Linear layers whose weights stay packed in 2, 4 or 8 bits while the model runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from core.encoding.base import Encoding
from core.encoding.packed import PackedLinear
from core.errors import LayerSkipped
from core.methods._integer import dense_values, refuse_extremes, refuse_larger
from core.methods._packed import in_blocks
from core.methods.base import Context, Method, Role
from core.methods.params import param
from core.model.layer import Kind


@dataclass(frozen=True)
class NBitsParams:
    bits: int = param(4, "Bits", "Bits of each weight.", choices=(2, 4, 8), unit="bits", grid=(8, 4, 2))
    block: int = param(
        32, "Block size", "Inputs of one output that share a scale of 4 bytes.", choices=(16, 32, 64, 128, 256),
        unit="weights", grid=(128, 32),
    )
    symmetric: bool = param(
        True, "Symmetric", "Zero is the middle level. Off: each block covers its own range and has a zero point."
    )
    inputs: str = param(
        "int8", "Inputs", "Rounded to 8 bits in blocks as they come, a layer multiplies integers: faster, and less "
        "exact.", choices=("int8", "float32"), choice_titles=("Rounded to 8 bits", "As they are"),
    )


class QuantizeNBits(Method):
    word = "quantize"
    scheme = "nbits"
    role = Role.RUN_TIME
    title = "Packed Linear weights"
    family = "Quantization"
    summary = "Keeps a Linear layer's weights in 2, 4 or 8 bits in memory too; they are unpacked as the layer runs."
    saves = ("file", "memory")
    costs = (
        "Unpacking takes time in every run. MiniLM took 0.83 of its float time with 4 bits and rounded inputs, 0.67 "
        "with 8 bits; with inputs as they are 1.05 and 2.1, and 2 bits took 3.2."
    )
    choose_when = "Memory is short and the model consists of large Linear layers, as language models do."
    avoid_when = "Only the file must shrink (Quantize runs at full speed), or speed counts most (Dynamic int8)."
    source = "ONNX Runtime operator MatMulNBits; Frantar et al., \"GPTQ\", ICLR 2023, for blocks of 4 bits"
    kinds = frozenset({Kind.LINEAR})
    Params = NBitsParams

    def apply(self, encoding: Encoding, params: NBitsParams, context: Context) -> Encoding:
        values = dense_values(encoding, context)
        refuse_extremes(values)
        if values.ndim != 2 or context.layer.output_axis not in (0, 1):
            raise LayerSkipped("MatMulNBits takes matrices only", do="use Quantize")
        weight = in_blocks(values, 1 - context.layer.output_axis, params.bits, params.block, params.symmetric, context)
        refuse_larger(encoding, weight)
        return PackedLinear(weight, cast('Literal["float32", "int8"]', params.inputs))

    def label(self, params: NBitsParams) -> str:
        return f"packed int{params.bits}"
