"""Brain float: the range of float32 in 16 bits."""

from __future__ import annotations

from core.methods._float_types import FloatMethod
from core.methods.base import REBUILT


class BFloat16(FloatMethod):
    word = "bfloat16"
    dtype = "bfloat16"
    short = "bf16"
    title = "Brain float (bfloat16)"
    summary = "Stores weights in 16 bits with float32's range: for weights too large for float16."
    costs = f"About 18 dB more error than float16. Needs opset 13. {REBUILT}"
    choose_when = "Weights are too large for float16."
    avoid_when = "The range is ordinary: float16 has 18 dB less error."
    source = "Kalamkar et al., \"A Study of BFLOAT16 for Deep Learning Training\", 2019"
