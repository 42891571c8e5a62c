"""Levels that are powers of two, or sums of two of them."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.layer_inputs import Need
from core.encoding.base import Encoding
from core.methods._layouts import block_param, granularity_param, where
from core.methods._outliers import outliers_param
from core.methods._quantizing import quantize, setting_of
from core.methods._settings import percentile_param, range_param, rounding_param
from core.methods._tables import powers_of_two
from core.methods.base import REBUILT, Context, Method, Role
from core.methods.params import param


@dataclass(frozen=True)
class PowerOfTwoParams:
    bits: int = param(
        4, "Bits", "Bits of each weight: a sign and an exponent.",
        minimum=2, maximum=6, unit="bits", grid=(5, 4, 3),
    )
    terms: int = param(
        1, "Terms", "One: levels are powers of two. Two: sums of two of them, which lie closer together where a single "
        "power leaves wide gaps.", choices=(1, 2), choice_titles=("One power", "Sum of two"),
    )
    granularity: str = granularity_param()
    block: int = block_param()
    range: str = range_param("mse", "minmax", "percentile", "activation")
    percentile: float = percentile_param()
    rounding: str = rounding_param("nearest", "stochastic", "feedback")
    outliers: float = outliers_param()


class QuantizePowerOfTwo(Method):
    word = "quantize"
    role = Role.QUANTIZE
    scheme = "pow2"
    title = "Powers of two"
    family = "Quantization"
    summary = (
        "Levels are zero and plus or minus powers of two, or sums of two of them, times a scale for each channel or "
        "block: very fine near zero, coarse at large weights."
    )
    saves = ("file",)
    costs = f"More bits add levels near zero only, so the error stops falling (two terms: later). {REBUILT}"
    choose_when = "The weights will run on hardware that shifts bits instead of multiplying."
    avoid_when = "The model runs on a CPU: Normal quantiles and codebooks err less at the same bits."
    data = "unlabelled samples for the range Weighted by inputs and the rounding Error feedback"
    source = (
        "Zhou et al., \"Incremental Network Quantization\", ICLR 2017; sums: Li, Dong, Wang, \"Additive Powers-of-Two "
        "Quantization\", ICLR 2020"
    )
    Params = PowerOfTwoParams

    def needs(self, params: PowerOfTwoParams) -> frozenset[Need]:
        return setting_of(params).needs

    def apply(self, encoding: Encoding, params: PowerOfTwoParams, context: Context) -> Encoding:
        return quantize(encoding, powers_of_two(params.bits, params.terms), setting_of(params), context)

    def label(self, params: PowerOfTwoParams) -> str:
        return f"pow2 {params.bits}{where(params)}"
