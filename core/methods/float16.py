"""Half precision."""

from __future__ import annotations

from core.methods._float_types import FloatMethod
from core.methods.base import REBUILT


class Float16(FloatMethod):
    word = "float16"
    dtype = "float16"
    short = "fp16"
    title = "Half precision (float16)"
    summary = "Stores weights in 16 bits. Hardly any error: a safe first step to half the file."
    costs = f"Weights above 65,504 do not fit. {REBUILT}"
    choose_when = "Half the file is enough and nothing may change."
    avoid_when = "Weights exceed 65,504 (use bfloat16), or more than half must go (use quantize)."
    source = "IEEE 754-2019, binary16"
