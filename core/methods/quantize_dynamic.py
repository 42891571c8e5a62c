"""Linear layers that multiply integers; inputs are rounded by the range that they have in each run."""

from __future__ import annotations

from dataclasses import dataclass

from core.encoding.base import Encoding
from core.encoding.integer import Dynamic
from core.methods._integer import dense_values, int8_channels, refuse_extremes, refuse_larger
from core.methods.base import Context, Method, Role
from core.methods.params import param
from core.model.layer import Kind, Layer


@dataclass(frozen=True)
class DynamicParams:
    weights: str = param(
        "int7", "Weights", "Within ±63 no processor's sums overflow, and it is fastest. All 8 bits halve the weights' "
        "error at two to three times the time, and are as exact everywhere.",
        choices=("int7", "uint8"), choice_titles=("8 bits within ±63", "All 8 bits"),
    )
    granularity: str = param(
        "channel", "One scale for", "A scale for each output costs 4 bytes and nothing in time.",
        choices=("channel", "tensor"), choice_titles=("Each channel", "Whole layer"),
    )


class QuantizeDynamic(Method):
    word = "quantize"
    scheme = "dynamic"
    role = Role.RUN_TIME
    title = "Dynamic int8"
    family = "Quantization"
    summary = (
        "Stores a Linear layer as int8 and multiplies integers; its inputs are rounded to 8 bits as the model runs. "
        "Needs no samples."
    )
    saves = ("file", "memory", "time")
    costs = (
        "Inputs share one range in each run, so one outlier coarsens all of them. MiniLM took 0.4 of its float time, a "
        "small vision transformer 0.5."
    )
    choose_when = "A transformer or other model of large Linear layers must become faster, and no samples are at hand."
    avoid_when = (
        "Convolutions are not handled: rounding their inputs anew in every run takes longer than it saves; use Static "
        "int8."
    )
    source = "ONNX operators DynamicQuantizeLinear and MatMulInteger; Jacob et al., CVPR 2018"
    kinds = frozenset({Kind.LINEAR})
    Params = DynamicParams

    def why_not(self, layer: Layer, params: DynamicParams) -> str:
        if layer.kind in (Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE) and not layer.locked:
            return "dynamic int8 makes convolutions slower; use Static int8"
        return super().why_not(layer, params)

    def apply(self, encoding: Encoding, params: DynamicParams, context: Context) -> Encoding:
        pruned = bool(encoding.children)
        values = dense_values(encoding, context)
        refuse_extremes(values)
        axis = context.layer.output_axis if params.granularity == "channel" else None
        wide = params.weights == "uint8"
        weight = int8_channels(values, axis, 8 if wide else 7, True, context, pruned=pruned)
        refuse_larger(encoding, weight)
        return Dynamic(weight, unsigned=wide)

    def label(self, params: DynamicParams) -> str:
        return "dynamic int8"
