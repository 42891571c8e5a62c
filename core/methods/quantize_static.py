"""Convolutions and Linear layers that multiply integers, with ranges of inputs and outputs measured on samples."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.layer_inputs import Need
from core.encoding.base import Encoding
from core.encoding.integer import Static
from core.errors import LayerSkipped
from core.methods._integer import dense_values, int8_channels, refuse_extremes, refuse_larger
from core.methods._ranges import levels_of
from core.methods.base import Context, Method, Role, require_inputs
from core.methods.params import param
from core.model.layer import Kind


@dataclass(frozen=True)
class StaticParams:
    calibration: str = param(
        "minmax", "Range of values", "Which part of what was seen on the samples the 256 levels cover. Full range cuts "
        "nothing off; percentile and entropy cut rare large values off and round the others more finely.",
        choices=("minmax", "percentile", "entropy"), choice_titles=("Full range", "Percentile", "Entropy"),
    )
    percentile: float = param(
        99.99, "Percentile", "Share of the values seen that the range covers.", minimum=90, maximum=100, unit="%",
        when={"calibration": ["percentile"]}, grid=(99.999, 99.99, 99.9),
    )
    weights: str = param(
        "int7", "Weights", "Within ±63 no processor's sums overflow, and it is fastest. All 8 bits halve the weights' "
        "error at two to three times the time, and are as exact everywhere.",
        choices=("int7", "uint8"), choice_titles=("8 bits within ±63", "All 8 bits"),
    )
    range: str = param(
        "mse", "Range of weights", "Least squared error narrows the range where cutting outliers off pays.",
        choices=("mse", "minmax"), choice_titles=("Least squared error", "Full range"),
    )


class QuantizeStatic(Method):
    word = "quantize"
    scheme = "static"
    role = Role.RUN_TIME
    title = "Static int8"
    family = "Quantization"
    summary = (
        "Stores a layer as int8 and multiplies integers, with ranges of its inputs and outputs measured on samples. "
        "Between two such layers in a row the values stay int8; they become floats again only where a float layer "
        "follows."
    )
    saves = ("file", "memory", "time")
    costs = (
        "Inputs and outputs are rounded to 256 levels, and values beyond those seen on the samples are cut off. A "
        "layer between float layers pays for two conversions: a text recognizer took 0.65 of its float time, LeNet-5 "
        "0.55, but a classifier of tiny layers 1.4."
    )
    choose_when = "A convolutional network must become faster, and samples like those in use are at hand."
    avoid_when = (
        "The model is a transformer (use Dynamic int8), or layers are tiny: converting takes longer than they do."
    )
    data = "unlabelled samples"
    source = "Jacob et al., \"Quantization and Training of Neural Networks for Efficient Inference\", CVPR 2018"
    kinds = frozenset({Kind.CONV, Kind.DEPTHWISE, Kind.LINEAR})
    Params = StaticParams

    def needs(self, params: StaticParams) -> frozenset[Need]:
        return frozenset({Need.RANGES})

    def apply(self, encoding: Encoding, params: StaticParams, context: Context) -> Encoding:
        pruned = bool(encoding.children)
        values = dense_values(encoding, context)
        refuse_extremes(values)
        inputs = require_inputs(context, Need.RANGES)
        if inputs.input_range is None or inputs.output_range is None:
            raise LayerSkipped("the range of its output was not measured")
        entering, leaving = (
            levels_of(measured, params.calibration, params.percentile)
            for measured in (inputs.input_range, inputs.output_range)
        )
        wide = params.weights == "uint8"
        # The runtime takes zero points by channel, which uint8 codes need, for matrices and convolutions only.
        stacked = context.layer.kind is Kind.LINEAR and values.ndim > 2
        axis = None if wide and stacked else context.layer.output_axis
        weight = int8_channels(
            values, axis, 8 if wide else 7, params.range == "mse", context, pruned=pruned
        )
        refuse_larger(encoding, weight)
        return Static(weight, entering, leaving, unsigned=wide)

    def label(self, params: StaticParams) -> str:
        return "static int8"
