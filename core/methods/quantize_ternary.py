"""Ternary weights: minus, zero or plus a magnitude that many share."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.layer_inputs import Need
from core.encoding.base import Encoding
from core.methods._grids import Ternary
from core.methods._layouts import block_param, granularity_param, where
from core.methods._outliers import outliers_param
from core.methods._quantizing import quantize, setting_of
from core.methods._settings import range_param, rounding_param
from core.methods.base import REBUILT, Context, Method, Role


@dataclass(frozen=True)
class TernaryParams:
    granularity: str = granularity_param()
    block: int = block_param()
    range: str = range_param("mse", "activation")
    rounding: str = rounding_param("balanced", "nearest", "feedback")
    outliers: float = outliers_param()


class QuantizeTernary(Method):
    word = "quantize"
    role = Role.QUANTIZE
    scheme = "ternary"
    title = "Ternary"
    family = "Quantization"
    summary = (
        "Keeps minus, zero or plus one magnitude for each channel or block, five weights to a byte: 1.6 bits a weight. "
        "Magnitude and threshold are those of least squared error, found exactly."
    )
    saves = ("file",)
    costs = f"A large error (7.2 dB SQNR on bell-shaped weights); fine-tune afterwards. {REBUILT}"
    choose_when = "The file must be very small, many weights may be zero, and the model will be fine-tuned."
    avoid_when = "Nothing is trained afterwards: 3 or 4 bits keep most models' answers."
    data = "unlabelled samples for the range Weighted by inputs and the rounding Error feedback"
    source = "Li, Zhang, Liu, \"Ternary Weight Networks\", 2016, with the threshold found exactly"
    Params = TernaryParams

    def needs(self, params: TernaryParams) -> frozenset[Need]:
        return setting_of(params).needs

    def apply(self, encoding: Encoding, params: TernaryParams, context: Context) -> Encoding:
        return quantize(encoding, Ternary(2), setting_of(params), context)

    def label(self, params: TernaryParams) -> str:
        return f"ternary{where(params)}"
