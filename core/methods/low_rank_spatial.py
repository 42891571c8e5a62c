"""Low rank over space: a k x k convolution as k x 1, then 1 x k."""

from __future__ import annotations

import numpy as np

from core.encoding import ConvChain, Float
from core.encoding.base import Encoding
from core.methods._ranks import LowRankMethod, RankParams, Sides, factorise, float_weight
from core.methods.base import Context
from core.model.layer import Kind, Layer


class LowRankSpatial(LowRankMethod):
    scheme = "spatial"
    short = "spatial"
    title = "Low rank, spatial pair"
    summary = (
        "Replaces a convolution by a tall and a wide one in a row (k x 1, then 1 x k) with a few channels between them."
    )
    saves = ("file", "memory", "time", "multiply-adds")
    costs = "A high error on kernels that are no product of rows and columns; one more operator for each layer."
    choose_when = "Kernels are large (5 x 5 and up) and many channels share their shapes."
    avoid_when = "Kernels are 3 x 3 with few channels: the second operator costs more time than it saves."
    source = (
        "Jaderberg et al., \"Speeding up Convolutional Neural Networks with Low Rank Expansions\", BMVC 2014; closed "
        "form: Tai et al., \"Convolutional neural networks with low-rank regularization\", ICLR 2016"
    )
    kinds = frozenset({Kind.CONV})
    Params = RankParams

    def sides(self, layer: Layer) -> Sides:
        outputs, inputs, tall, wide = layer.shape
        return Sides(inputs * tall, outputs * wide)

    def why_not_shape(self, layer: Layer) -> str:
        if len(layer.shape) != 4:
            return f"kernels of {len(layer.shape) - 2} axes have no rows and columns"
        if 1 in layer.shape[2:]:
            return f"a {layer.shape[2]} x {layer.shape[3]} kernel has nothing to split along rows and columns"
        return f"its {layer.groups} groups of channels share no factors" if layer.groups > 1 else ""

    def apply(self, encoding: Encoding, params: RankParams, context: Context) -> Encoding:
        weight, leaf = float_weight(encoding, context)
        outputs, inputs, tall, wide = weight.shape
        matrix = np.ascontiguousarray(weight.transpose(1, 2, 0, 3)).reshape(inputs * tall, outputs * wide)
        (left, right), = factorise([matrix], params, context, weight)
        first = left.reshape(inputs, tall, 1, -1).transpose(3, 0, 1, 2)
        last = right.reshape(-1, outputs, 1, wide).transpose(1, 0, 2, 3)
        return ConvChain(tuple(Float(np.ascontiguousarray(part), leaf.dtype) for part in (first, last)))
