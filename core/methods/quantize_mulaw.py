"""Levels that are even on a logarithmic scale."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.layer_inputs import Need
from core.encoding.base import Encoding
from core.methods._layouts import block_param, granularity_param, where
from core.methods._outliers import outliers_param
from core.methods._quantizing import quantize, setting_of
from core.methods._settings import percentile_param, range_param, rounding_param
from core.methods._tables import mu_law
from core.methods.base import REBUILT, Context, Method, Role
from core.methods.params import param


@dataclass(frozen=True)
class MuLawParams:
    bits: int = param(
        4, "Bits", "Bits of each weight: 2^bits - 1 levels.",
        minimum=2, maximum=8, unit="bits", grid=(8, 6, 5, 4, 3),
    )
    mu: float = param(
        4.0, "Mu", "How much finer the levels are near zero than at the ends: about (1 + mu) times. Small values are "
        "nearly even levels; 255 is that of telephones.", minimum=0.1, maximum=255.0, grid=(2.0, 4.0, 8.0),
    )
    granularity: str = granularity_param()
    block: int = block_param()
    range: str = range_param("mse", "minmax", "percentile", "activation")
    percentile: float = percentile_param()
    rounding: str = rounding_param("nearest", "stochastic", "feedback")
    outliers: float = outliers_param()


class QuantizeMuLaw(Method):
    word = "quantize"
    role = Role.QUANTIZE
    scheme = "mulaw"
    title = "Mu-law"
    family = "Quantization"
    summary = (
        "Levels that lie evenly on a logarithmic scale, times a scale for each channel or block; one number sets how "
        "much finer they are near zero."
    )
    saves = ("file",)
    costs = f"The best mu depends on the layer. {REBUILT}"
    choose_when = "4 to 8 bits are wanted and a few weights are large: at 8 bits it errs less than even levels."
    avoid_when = "2 or 3 bits are wanted: Normal quantiles err less and need no tuning."
    data = "unlabelled samples for the range Weighted by inputs and the rounding Error feedback"
    source = "ITU-T Recommendation G.711 (companding)"
    Params = MuLawParams

    def needs(self, params: MuLawParams) -> frozenset[Need]:
        return setting_of(params).needs

    def apply(self, encoding: Encoding, params: MuLawParams, context: Context) -> Encoding:
        return quantize(encoding, mu_law(params.bits, params.mu), setting_of(params), context)

    def label(self, params: MuLawParams) -> str:
        return f"mu-law {params.bits}{where(params)}"
