"""Wavelet transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.encoding.base import Array
from core.methods import _filter_bases
from core.methods._filters import BasisFilter, BasisParams
from core.methods.base import REBUILT
from core.methods.params import param


@dataclass(frozen=True)
class WaveletParams(BasisParams):
    family: str = param(
        "haar", "Wavelet", "Haar has jumps and fits any size; the others are smoother and longer. All are orthogonal, "
        "so that kept energy is exact.",
        choices=("haar", "db2", "db4", "sym4", "coif1"),
        choice_titles=("Haar", "Daubechies 2", "Daubechies 4", "Symlet 4", "Coiflet 1"),
    )
    level: int = param(
        2, "Levels", "How often the coarse half is split again.", minimum=1, maximum=6, grid=(1, 2, 3),
    )


class FilterWavelet(BasisFilter):
    scheme = "wavelet"
    title = "Filter (wavelet)"
    summary = (
        "Stores the largest wavelet coefficients of each kernel, row or block instead of its weights: averages, and "
        "differences of neighbours at several scales."
    )
    costs = f"Small differences between neighbours. {REBUILT}"
    choose_when = "Weights have steps or a few sharp details among smooth stretches."
    avoid_when = "Weights are waves (DCT or Fourier), or have no order at all (quantize)."
    source = (
        "Mallat, \"A Theory for Multiresolution Signal Decomposition\", IEEE PAMI, 1989; for layers: Wolter, Lin, Yao, "
        "\"Neural network compression via learnable wavelet transforms\", ICANN 2020"
    )
    Params = WaveletParams

    def basis(self, length: int, params: Any) -> Array:
        return _filter_bases.wavelet(length, params.family, params.level)

    def name(self, params: Any) -> str:
        return str(params.family)
