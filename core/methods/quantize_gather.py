"""Embeddings whose rows stay packed and are unpacked when they are looked up."""

from __future__ import annotations

from dataclasses import dataclass

from core.encoding.base import Encoding
from core.encoding.packed import PackedEmbedding
from core.errors import LayerSkipped
from core.methods._integer import dense_values, refuse_larger
from core.methods._packed import in_blocks
from core.methods.base import Context, Method, Role
from core.methods.params import param
from core.model.layer import Kind


@dataclass(frozen=True)
class GatherParams:
    bits: int = param(8, "Bits", "Bits of each number.", choices=(2, 4, 8), unit="bits", grid=(8, 4, 2))
    block: int = param(
        32, "Block size", "Numbers of a row that share a scale of 4 bytes.", choices=(16, 32, 64, 128, 256),
        unit="weights", grid=(128, 32),
    )
    symmetric: bool = param(
        True, "Symmetric", "Zero is the middle level. Off: each block covers its own range and has a zero point."
    )


class QuantizeGather(Method):
    word = "quantize"
    scheme = "gather"
    role = Role.RUN_TIME
    title = "Packed embedding"
    family = "Quantization"
    summary = "Keeps an embedding in 2, 4 or 8 bits in memory too; only the rows that are looked up are unpacked."
    saves = ("file", "memory")
    costs = "Hardly any time: only rows that are looked up are unpacked (MiniLM's time stayed the same)."
    choose_when = "The embedding is a large part of the model: a language model with a large vocabulary."
    avoid_when = "The table is also the last layer's weight (tied): it would be rebuilt as floats; use Quantize."
    source = "ONNX Runtime operator GatherBlockQuantized"
    kinds = frozenset({Kind.EMBEDDING})
    Params = GatherParams

    def apply(self, encoding: Encoding, params: GatherParams, context: Context) -> Encoding:
        values = dense_values(encoding, context)
        if values.ndim != 2:
            raise LayerSkipped("only tables with one row a token are handled", do="use Quantize")
        weight = in_blocks(values, 1, params.bits, params.block, params.symmetric, context)
        refuse_larger(encoding, weight)
        return PackedEmbedding(weight)

    def label(self, params: GatherParams) -> str:
        return f"packed int{params.bits}"
