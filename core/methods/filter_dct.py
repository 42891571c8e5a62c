"""Discrete cosine transform."""

from __future__ import annotations

from typing import Any

from core.encoding.base import Array
from core.methods import _filter_bases
from core.methods._filters import BasisFilter
from core.methods.base import REBUILT


class FilterDct(BasisFilter):
    scheme = "dct"
    default = True
    title = "Filter (DCT)"
    summary = (
        "Stores the largest cosine coefficients of each kernel, row or block instead of its weights, as JPEG does with "
        "pictures."
    )
    costs = f"Fine detail of the weights. {REBUILT}"
    choose_when = "Kernels are smooth, or neighbouring weights are alike (position tables, long filters)."
    avoid_when = "Neighbours have nothing to do with each other, as in most Linear layers: quantize instead."
    source = (
        "Ahmed, Natarajan, Rao, \"Discrete Cosine Transform\", IEEE Trans. Computers, 1974; for kernels: Wang et al., "
        "\"CNNpack: Packing Convolutional Neural Networks in the Frequency Domain\", NeurIPS 2016"
    )

    def basis(self, length: int, params: Any) -> Array:
        return _filter_bases.dct(length)

    def name(self, params: Any) -> str:
        return "DCT"
