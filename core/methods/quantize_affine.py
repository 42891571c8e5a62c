"""Uniform quantization: weights rounded to equally spaced levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.data.layer_inputs import Need
from core.encoding.base import Encoding
from core.methods._grids import Uniform
from core.methods._layouts import block_param, granularity_param, where
from core.methods._outliers import outliers_param
from core.methods._quantizing import Setting, quantize, setting_of
from core.methods._settings import percentile_param, range_param, rounding_param
from core.methods.base import REBUILT, Context, Method, Role
from core.methods.params import param

_SEVERAL = range(2, 9)  # bits that have more than two levels


@dataclass(frozen=True)
class AffineParams:
    bits: int = param(
        8, "Bits", "Bits of each weight. 8 hardly changes a model, 4 often needs care, 1 keeps only the sign.",
        minimum=1, maximum=8, unit="bits", grid=(8, 6, 5, 4, 3, 2),
    )
    granularity: str = granularity_param()
    block: int = block_param()
    symmetric: bool = param(
        True, "Symmetric", "Equal range on both sides of zero. Off: from the smallest to the largest weight, which "
        "suits lopsided layers and costs a zero point for each scale.", when={"bits": _SEVERAL},
    )
    range: str = range_param("mse", "minmax", "percentile", "activation", when={"bits": _SEVERAL})
    percentile: float = percentile_param()
    rounding: str = rounding_param("balanced", "nearest", "stochastic", "feedback", when={"bits": _SEVERAL})
    outliers: float = outliers_param()


class QuantizeAffine(Method):
    word = "quantize"
    role = Role.QUANTIZE
    scheme = "affine"
    default = True
    title = "Quantize"
    family = "Quantization"
    summary = (
        "Stores each weight in a few bits, on evenly spaced levels. 8 bits is the safe default: a quarter of the file "
        "at hardly any error."
    )
    saves = ("file",)
    costs = REBUILT
    choose_when = "The file must shrink and the answers stay: 8 bits for a quarter of the bytes, 4 to 6 with care."
    avoid_when = (
        "Fewer than 4 bits are wanted (Normal quantiles and Quantize to a codebook err less), or speed counts (Static "
        "int8, Dynamic int8)."
    )
    data = "unlabelled samples for the range Weighted by inputs and the rounding Error feedback"
    source = (
        "Jacob et al., \"Quantization and Training of Neural Networks for Efficient Inference\", CVPR 2018; balanced "
        "after Guo et al., \"SQuant\", ICLR 2022; feedback: Frantar et al., \"GPTQ\", ICLR 2023; outliers: Dettmers et "
        "al., \"SpQR\", ICLR 2024; Weighted by inputs after Lin et al., \"AWQ\", MLSys 2024"
    )
    Params = AffineParams

    def needs(self, params: AffineParams) -> frozenset[Need]:
        return _setting(params).needs

    def apply(self, encoding: Encoding, params: AffineParams, context: Context) -> Encoding:
        return quantize(encoding, Uniform(params.bits, params.symmetric or params.bits == 1), _setting(params), context)

    def label(self, params: AffineParams) -> str:
        word = "1 bit" if params.bits == 1 else f"{'int' if params.symmetric else 'uint'}{params.bits}"
        return f"{word} +{100 * params.outliers:.3g} %" if params.outliers else word + where(params)


def _setting(params: AffineParams) -> Setting:
    """The setting; what means nothing at one bit is left out."""
    setting = setting_of(params)
    return replace(setting, range="mse", rounding="nearest") if params.bits == 1 else setting
