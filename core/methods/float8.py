"""8-bit floats with a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.encoding.base import Encoding
from core.methods._quantizing import quantize, setting_of
from core.methods._settings import rounding_param
from core.methods._tables import float8
from core.methods.base import REBUILT, Context, Method, Role
from core.methods.params import param


@dataclass(frozen=True)
class Float8Params:
    format: str = param(
        "e4m3", "Format", "E4M3 has more precision (numbers to 448), E5M2 more range (to 57,344).",
        choices=("e4m3", "e5m2"), choice_titles=("E4M3", "E5M2"),
    )
    granularity: str = param(
        "channel", "One scale for", "The scale brings the largest weight to the largest number of the format.",
        choices=("tensor", "channel"), choice_titles=("Whole layer", "Each channel"),
    )
    rounding: str = rounding_param("nearest", "stochastic")
    block: ClassVar[int] = 0
    range: ClassVar[str] = "minmax"


class Float8(Method):
    word = "float8"
    role = Role.QUANTIZE
    title = "8-bit float"
    family = "Quantization"
    summary = (
        "Stores weights as 8-bit floats (E4M3 or E5M2) times a scale: a quarter of the file, with the same relative "
        "error for small weights as for large ones."
    )
    saves = ("file",)
    costs = f"About 32 dB SQNR (E5M2: 26 dB), where int8 has 38 to 45. {REBUILT}"
    choose_when = "Weights span many orders of magnitude, so that int8 would lose the small ones."
    avoid_when = "Weights are bell-shaped: int8 has less error at the same bytes."
    source = "Micikevicius et al., \"FP8 Formats for Deep Learning\", 2022"
    Params = Float8Params

    def apply(self, encoding: Encoding, params: Float8Params, context: Context) -> Encoding:
        return quantize(encoding, float8(params.format), setting_of(params), context)

    def label(self, params: Float8Params) -> str:
        return f"fp8 {params.format.upper()}"
