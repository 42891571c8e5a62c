"""Fourier transform, in its real form: cosines and sines."""

from __future__ import annotations

from typing import Any

from core.encoding.base import Array
from core.methods import _filter_bases
from core.methods._filters import BasisFilter
from core.methods.base import REBUILT


class FilterFourier(BasisFilter):
    scheme = "fourier"
    title = "Filter (Fourier)"
    summary = (
        "Stores the largest cosine and sine coefficients of each kernel, row or block instead of its weights. The "
        "basis is real: as many numbers as weights."
    )
    costs = f"Fine detail of the weights. {REBUILT}"
    choose_when = "Weights are waves that repeat, as in learned or windowed Fourier kernels of audio models."
    avoid_when = "Signals end at another value than they begin with: DCT needs fewer coefficients."
    source = (
        "Rippel, Snoek, Adams, \"Spectral Representations for Convolutional Neural Networks\", NeurIPS 2015"
    )

    def basis(self, length: int, params: Any) -> Array:
        return _filter_bases.fourier(length)

    def name(self, params: Any) -> str:
        return "Fourier"
