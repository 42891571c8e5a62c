"""Control points and Gaussian kernels between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.encoding.base import Array
from core.methods import _filter_bases
from core.methods._filter_choice import low_count
from core.methods._filter_points import PointFilter
from core.methods._filters import PlaceParams, percent
from core.methods.base import REBUILT
from core.methods.params import param


@dataclass(frozen=True)
class GaussianParams(PlaceParams):
    by: str = param(
        "points", "Choose by", "Give the control points along each axis, their share of the weights in all, or the "
        "energy to keep.",
        choices=("points", "share", "energy"), choice_titles=("Points per axis", "Kept share", "Kept energy"),
    )
    points: float = param(
        0.5, "Points per axis", "Control points along each axis, as a share of the weights; at least one.",
        minimum=0.01, maximum=1.0, percent=True, unit="%", when={"by": ["points"]}, grid=(0.75, 0.5, 0.25),
    )
    share: float = param(
        0.5, "Kept share", "Control points as a share of the weights, at most; at least one for each signal.",
        minimum=0.01, maximum=1.0, percent=True, unit="%", when={"by": ["share"]}, grid=(0.75, 0.5, 0.35, 0.25),
    )
    energy: float = param(
        0.9, "Kept energy", "Share of the sum of squared weights that is kept at least; 90 % means an error of -10 dB.",
        minimum=0.01, maximum=1.0, percent=True, unit="%", when={"by": ["energy"]}, grid=(0.99, 0.97, 0.95, 0.9, 0.8),
    )
    width: float = param(
        0.7, "Kernel width", "Standard deviation of a Gaussian, in distances between control points: wider is "
        "smoother.", minimum=0.3, maximum=1.0, grid=(0.4, 0.7, 1.0),
    )


class FilterGaussian(PointFilter):
    scheme = "gaussian"
    title = "Filter (Gaussian)"
    summary = (
        "Stores a few control points of each kernel, row or block, fitted by least squares, and a curve of Gaussians "
        "through them instead of the weights."
    )
    costs = f"Everything finer than the distance of the control points. {REBUILT}"
    choose_when = "Weights are known to be smooth: blurred kernels, position tables."
    avoid_when = "Weights change sign from one to the next: DCT keeps such frequencies, control points cannot."
    source = (
        "Broomhead and Lowe, \"Multivariable Functional Interpolation and Adaptive Networks\", Complex Systems, 1988; "
        "Gaussian kernels for filters: Jacobsen et al., \"Structured Receptive Fields in CNNs\", CVPR 2016"
    )
    Params = GaussianParams

    def curve(self, length: int, size: int, longest: int, params: GaussianParams) -> tuple[Array, Array]:
        synthesis = _filter_bases.gaussian(length, low_count(length, size / longest), params.width)
        return _filter_bases.least_squares(synthesis), synthesis

    def sizes(self, longest: int) -> Sequence[int]:
        return range(1, longest + 1)

    def asked(self, longest: int, params: GaussianParams) -> int:
        return low_count(longest, params.points)

    def name(self, params: GaussianParams) -> str:
        return "Gaussian"

    def label(self, params: GaussianParams) -> str:
        return f"Gaussian {percent(params.points)}" if params.by == "points" else super().label(params)
