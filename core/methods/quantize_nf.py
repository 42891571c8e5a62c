"""Levels at the quantiles of a normal distribution."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.layer_inputs import Need
from core.encoding.base import Encoding
from core.methods._layouts import block_param, granularity_param, where
from core.methods._outliers import outliers_param
from core.methods._quantizing import quantize, setting_of
from core.methods._settings import percentile_param, range_param, rounding_param
from core.methods._tables import normal_float
from core.methods.base import REBUILT, Context, Method, Role
from core.methods.params import param


@dataclass(frozen=True)
class NormalFloatParams:
    bits: int = param(
        4, "Bits", "Bits of each weight: 2^bits levels.",
        minimum=2, maximum=6, unit="bits", grid=(6, 5, 4, 3, 2),
    )
    granularity: str = granularity_param()
    block: int = block_param()
    range: str = range_param("mse", "minmax", "percentile", "activation")
    percentile: float = percentile_param()
    rounding: str = rounding_param("nearest", "stochastic", "feedback")
    outliers: float = outliers_param()


class QuantizeNormalFloat(Method):
    word = "quantize"
    role = Role.QUANTIZE
    scheme = "nf"
    title = "Normal quantiles"
    family = "Quantization"
    summary = (
        "Levels at the quantiles of a bell curve, finer near zero, times a scale for each channel or block. At 4 bits "
        "the NF4 of QLoRA; one table serves the whole file."
    )
    saves = ("file",)
    costs = f"Levels do not follow the layer, unlike a codebook's. {REBUILT}"
    choose_when = "Weights are bell-shaped, as most trained layers' are, and 3 to 5 bits are wanted."
    avoid_when = (
        "6 bits or more are wanted (even levels are as good), or the layer is pruned: a codebook fits the kept weights "
        "better."
    )
    data = "unlabelled samples for the range Weighted by inputs and the rounding Error feedback"
    source = "Dettmers et al., \"QLoRA\", NeurIPS 2023"
    Params = NormalFloatParams

    def needs(self, params: NormalFloatParams) -> frozenset[Need]:
        return setting_of(params).needs

    def apply(self, encoding: Encoding, params: NormalFloatParams, context: Context) -> Encoding:
        return quantize(encoding, normal_float(params.bits), setting_of(params), context)

    def label(self, params: NormalFloatParams) -> str:
        return f"nf{params.bits}{where(params)}"
