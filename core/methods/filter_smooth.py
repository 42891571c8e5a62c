"""Moving average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.encoding.base import Array
from core.methods import _filter_bases
from core.methods._filter_points import PointFilter
from core.methods._filters import PlaceParams
from core.methods.base import REBUILT
from core.methods.params import param


@dataclass(frozen=True)
class SmoothParams(PlaceParams):
    by: str = param(
        "window", "Choose by", "Give the window, the share of the weights that is stored, or the energy to keep.",
        choices=("window", "share", "energy"), choice_titles=("Window", "Kept share", "Kept energy"),
    )
    window: int = param(
        2, "Window", "Neighbours along each axis that are averaged; one average is stored for each such window.",
        minimum=2, maximum=64, unit="weights", when={"by": ["window"]}, grid=(2, 3, 4, 8),
    )
    share: float = param(
        0.5, "Kept share", "Averages as a share of the weights, at most; at least one for each signal.",
        minimum=0.01, maximum=1.0, percent=True, unit="%", when={"by": ["share"]}, grid=(0.75, 0.5, 0.35, 0.25),
    )
    energy: float = param(
        0.9, "Kept energy", "Share of the sum of squared weights that is kept at least; 90 % means an error of -10 dB.",
        minimum=0.01, maximum=1.0, percent=True, unit="%", when={"by": ["energy"]}, grid=(0.99, 0.97, 0.95, 0.9, 0.8),
    )


class FilterSmooth(PointFilter):
    scheme = "smooth"
    title = "Filter (smoothing)"
    summary = (
        "Averages neighbouring weights and stores one average for each window; between them the weights are "
        "interpolated in straight lines."
    )
    costs = f"Everything finer than the window. {REBUILT}"
    choose_when = "A simple, predictable smoothing is wanted, of weights that hardly change from one to the next."
    avoid_when = "Error counts: DCT and Gaussian keep more energy in as many numbers."
    source = "Smith, \"The Scientist and Engineer's Guide to Digital Signal Processing\", 1997, chapter 15"
    Params = SmoothParams

    def curve(self, length: int, size: int, longest: int, params: SmoothParams) -> tuple[Array, Array]:
        return _filter_bases.moving_average(length, size)

    def sizes(self, longest: int) -> Sequence[int]:
        return range(longest, 0, -1)

    def asked(self, longest: int, params: SmoothParams) -> int:
        return params.window

    def name(self, params: SmoothParams) -> str:
        return "smooth"

    def label(self, params: SmoothParams) -> str:
        return f"smooth {params.window}" if params.by == "window" else super().label(params)
