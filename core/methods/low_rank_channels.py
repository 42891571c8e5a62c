"""Low rank over channels: a convolution to fewer channels, then 1 x 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.encoding import ConvChain, Float
from core.encoding.base import Encoding
from core.methods._ranks import LowRankMethod, RankParams, Sides, factorise, float_weight, weighting_of, weighting_param
from core.methods.base import Context
from core.model.layer import Kind, Layer


@dataclass(frozen=True)
class ChannelPairParams(RankParams):
    weighting: str = weighting_param()


class LowRankChannels(LowRankMethod):
    scheme = "channels"
    short = "channels"
    title = "Low rank, channel pair"
    summary = "Replaces a convolution by one of the same kernel to fewer channels and a 1 x 1 convolution behind it."
    saves = ("file", "memory", "time", "multiply-adds")
    costs = "A high error on layers whose output channels have little in common; one more operator for each layer."
    choose_when = "A convolution has many output channels that resemble each other, 1 x 1 included."
    avoid_when = "It has few output channels: cut channels instead, which adds no operator."
    data = "unlabelled samples to weight the error by inputs"
    source = (
        "Zhang et al., \"Accelerating Very Deep Convolutional Networks for Classification and Detection\", TPAMI 2016 "
        "(weighting inputs: its linear case)"
    )
    kinds = frozenset({Kind.CONV})
    Params = ChannelPairParams

    def sides(self, layer: Layer) -> Sides:
        return Sides(layer.n_weights // layer.shape[0], layer.shape[0])

    def why_not_shape(self, layer: Layer) -> str:
        if len(layer.shape) < 3:
            return "the weight has no kernel"
        return f"its {layer.groups} groups of channels share no factors" if layer.groups > 1 else ""

    def apply(self, encoding: Encoding, params: ChannelPairParams, context: Context) -> Encoding:
        weight, leaf = float_weight(encoding, context)
        outputs, taps = weight.shape[0], weight.shape[2:]
        weighting = weighting_of(context) if params.weighting == "inputs" else None
        matrix = weight.reshape(outputs, -1).T
        (left, right), = factorise([matrix], params, context, weight, weighting)
        first = left.T.reshape(-1, *weight.shape[1:])
        last = right.T.reshape(outputs, -1, *(1 for _ in taps))
        factors = tuple(Float(np.ascontiguousarray(part), leaf.dtype) for part in (first, last))
        return ConvChain(factors, weighting.by if weighting is not None else "")
