"""Low rank: one matrix becomes the product of two thin ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.encoding import Float, LowRank
from core.encoding.base import Array, Encoding
from core.methods._ranks import LowRankMethod, RankParams, Sides, factorise, float_weight, weighting_of, weighting_param
from core.methods.base import Context
from core.model.layer import Kind, Layer
from core.model.matrix import has_rows


@dataclass(frozen=True)
class LowRankParams(RankParams):
    weighting: str = weighting_param()


class LowRankSvd(LowRankMethod):
    default = True
    title = "Low rank (SVD)"
    summary = (
        "Replaces a Linear layer or an embedding by two smaller ones that keep its largest singular values. Needs "
        "singular values that fall quickly; look at the spectrum first."
    )
    saves = ("file", "memory", "time", "multiply-adds")
    costs = (
        "A high error on layers whose singular values are alike. Recurrent weights are multiplied when the model "
        "loads: only the file shrinks."
    )
    choose_when = "A Linear layer's singular values fall quickly, and both size and speed count."
    avoid_when = "The spectrum is flat: quantize instead."
    data = "unlabelled samples to weight the error by inputs"
    source = (
        "Eckart and Young, 1936; Denil et al., \"Predicting Parameters in Deep Learning\", NeurIPS 2013; weighting: "
        "Yuan et al., \"ASVD\", 2023; Wang et al., \"SVD-LLM\", ICLR 2025; large matrices: Halko et al., 2011"
    )
    kinds = frozenset({Kind.LINEAR, Kind.EMBEDDING, Kind.RECURRENT})
    Params = LowRankParams

    def sides(self, layer: Layer) -> Sides:
        return Sides(*layer.shape[-2:])

    def why_not_shape(self, layer: Layer) -> str:
        axes = len(layer.shape)
        return "" if axes == 2 or (axes == 3 and layer.kind is Kind.RECURRENT) else (
            f"the weight is no matrix but has {axes} axes"
        )

    def why_not(self, layer: Layer, params: LowRankParams) -> str:
        reason = super().why_not(layer, params)
        if reason or params.weighting == "none":
            return reason
        if layer.kind is Kind.EMBEDDING:
            return "an embedding's inputs are indices; use weighting none"
        known = has_rows(layer) and layer.shape[:-2] in ((), (1,))
        return "" if known else "it is not clear which of its axes the inputs meet; use weighting none"

    def hint(self, layer: Layer, params: LowRankParams) -> str:
        text = super().hint(layer, params)
        return f"{text} Only the file shrinks." if text and layer.kind is Kind.RECURRENT else text

    def apply(self, encoding: Encoding, params: LowRankParams, context: Context) -> Encoding:
        weight, leaf = float_weight(encoding, context)
        matrices = [weight] if weight.ndim == 2 else list(weight)
        if params.weighting == "none":
            return _low_rank(factorise(matrices, params, context, weight), leaf)
        weighting = weighting_of(context)
        outputs_first = context.layer.output_axis == weight.ndim - 2
        turned = [matrix.T if outputs_first else matrix for matrix in matrices]
        found = factorise(turned, params, context, weight, weighting)
        return _low_rank([(b.T, a.T) if outputs_first else (a, b) for a, b in found], leaf, weighting.by)


def _low_rank(factors: list[tuple[Array, Array]], leaf: Float, by: str = "") -> LowRank:
    left, right = (
        np.ascontiguousarray(parts[0] if len(leaf.shape) == 2 else np.stack(parts))
        for parts in zip(*factors, strict=True)
    )
    return LowRank(Float(left, leaf.dtype), Float(right, leaf.dtype), leaf.shape, by)
