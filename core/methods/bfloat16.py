"""Brain float: the range of float32 in 16 bits."""

from __future__ import annotations

from typing import Any

from core.encoding.base import Encoding
from core.methods.base import REBUILT, Context, Method, Role
from core.methods.float16 import Nothing, round_floats


class BFloat16(Method):
    word = "bfloat16"
    role = Role.FLOAT
    title = "Brain float (bfloat16)"
    family = "Quantization"
    summary = "Stores weights in 16 bits with float32's range: for weights too large for float16."
    saves = ("file",)
    costs = f"About 18 dB more error than float16. Needs opset 13. {REBUILT}"
    choose_when = "Weights are too large for float16."
    avoid_when = "The range is ordinary: float16 has 18 dB less error."
    source = "Kalamkar et al., \"A Study of BFLOAT16 for Deep Learning Training\", 2019"
    Params = Nothing

    def apply(self, encoding: Encoding, params: Nothing, context: Context) -> Encoding:
        return round_floats(encoding, "bfloat16", context)

    def label(self, params: Any) -> str:
        return "bf16"
