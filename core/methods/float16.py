"""Half precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.encoding import Float
from core.encoding.base import Encoding
from core.encoding.floats import FloatType
from core.errors import LayerSkipped
from core.methods._structure import change_floats, leaf_values, refuse_quantized
from core.methods.base import REBUILT, Context, Method, Role


@dataclass(frozen=True)
class Nothing:
    """No parameters."""


class Float16(Method):
    word = "float16"
    role = Role.FLOAT
    title = "Half precision (float16)"
    family = "Quantization"
    summary = "Stores weights in 16 bits. Hardly any error: a safe first step to half the file."
    saves = ("file",)
    costs = f"Weights above 65,504 do not fit. {REBUILT}"
    choose_when = "Half the file is enough and nothing may change."
    avoid_when = "Weights exceed 65,504, or more than half must go."
    source = "IEEE 754-2019, binary16"
    Params = Nothing

    def apply(self, encoding: Encoding, params: Nothing, context: Context) -> Encoding:
        return round_floats(encoding, "float16", context)

    def label(self, params: Any) -> str:
        return "fp16"


def round_floats(encoding: Encoding, dtype: FloatType, context: Context) -> Encoding:
    """Every float32 leaf rounded to a 16-bit type; LayerSkipped when nothing is left to round or a weight overflows."""
    refuse_quantized(encoding, "put it before quantize, or leave it out")

    def change(leaf: Float) -> Float:
        if leaf.dtype != "float32":
            raise LayerSkipped(f"the weight is already stored as {leaf.dtype}")
        context.reporter.check()
        return Float(leaf_values(leaf, context), dtype)

    return change_floats(encoding, change)
