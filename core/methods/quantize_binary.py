"""Binary weights: a sign and a magnitude that many share."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.layer_inputs import Need
from core.encoding.base import Encoding
from core.methods._grids import Uniform
from core.methods._layouts import block_param, granularity_param, where
from core.methods._outliers import outliers_param
from core.methods._quantizing import quantize, setting_of
from core.methods._settings import rounding_param
from core.methods.base import REBUILT, Context, Method, Role


@dataclass(frozen=True)
class BinaryParams:
    granularity: str = granularity_param()
    block: int = block_param()
    rounding: str = rounding_param("nearest", "feedback")
    outliers: float = outliers_param()


class QuantizeBinary(Method):
    word = "quantize"
    role = Role.QUANTIZE
    scheme = "binary"
    title = "Binary"
    family = "Quantization"
    summary = "Keeps the sign of each weight, times the mean magnitude of its channel or block: one bit a weight."
    saves = ("file",)
    costs = f"A large error (4.4 dB SQNR on bell-shaped weights); fine-tune afterwards. {REBUILT}"
    choose_when = "The smallest file counts and the model will be fine-tuned, or a layer hardly matters."
    avoid_when = "Nothing is trained afterwards: 3 or 4 bits keep most models' answers."
    data = "unlabelled samples for the rounding Error feedback"
    source = "Rastegari et al., \"XNOR-Net\", ECCV 2016; with feedback: Huang et al., \"BiLLM\", ICML 2024"
    Params = BinaryParams

    def needs(self, params: BinaryParams) -> frozenset[Need]:
        return setting_of(params).needs

    def apply(self, encoding: Encoding, params: BinaryParams, context: Context) -> Encoding:
        return quantize(encoding, Uniform(1), setting_of(params), context)

    def label(self, params: BinaryParams) -> str:
        return f"binary{where(params)}"
