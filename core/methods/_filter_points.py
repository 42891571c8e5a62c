"""Filters that store a few points of a smooth curve: how many, and how well the curve through them fits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from core.encoding import Float, Transformed
from core.encoding.base import Array, Encoding
from core.errors import LayerSkipped
from core.methods._filter_views import View, joint, multiply, pieces, transform
from core.methods._filters import Filter, percent
from core.methods.base import Context


@dataclass(frozen=True)
class Points:
    """One number of points: for each axis of the view the products to the points and back.

    analysis   (length, points) float64 each
    synthesis  (points, length) float64 each
    """

    analysis: tuple[Array, ...]
    synthesis: tuple[Array, ...]

    @property
    def share(self) -> float:
        """Points as a share of the weights."""
        return prod(matrix.shape[0] / matrix.shape[1] for matrix in self.synthesis)


class PointFilter(Filter):
    """A filter that stores points of a curve; they are no coefficients of an orthonormal basis."""

    @abstractmethod
    def curve(self, length: int, size: int, longest: int, params: Any) -> tuple[Array, Array]:
        """Analysis (length, points) and synthesis (points, length) of one signal; `size` as `sizes(longest)` has it."""

    @abstractmethod
    def sizes(self, longest: int) -> Sequence[int]:
        """What can be asked of `curve` for signals of up to `longest` weights, from few points to many."""

    @abstractmethod
    def asked(self, longest: int, params: Any) -> int:
        """The size that the parameters name, where they do."""

    @abstractmethod
    def name(self, params: Any) -> str:
        """The curve in a word or two."""

    def store(self, leaf: Float, values: Array, view: View, params: Any, context: Context) -> Encoding:
        if not values.any():
            raise LayerSkipped("all its weights are zero: there is nothing to filter")
        points = self._choose(values, view, params, context)
        if points.share >= 1:
            raise LayerSkipped("these settings keep every weight: there is nothing to filter", do="keep less")
        made = transform(values, view, points.analysis, context, span=(0.6, 1.0))
        bases: list[Array | None] = [None] * len(view.grid)
        for axis, synthesis in zip(view.axes, points.synthesis, strict=True):
            bases[axis.at] = synthesis.astype(np.float32)
        return Transformed(Float(made, leaf.dtype), tuple(bases), view.grid, leaf.shape, self.name(params))

    def _choose(self, values: Array, view: View, params: Any, context: Context) -> Points:
        longest = max(size for axis in view.axes for size in axis.parts)
        if params.by not in ("share", "energy"):
            return self._points(view, self.asked(longest, params), params)
        # What keeps every weight is no filter, and sizes that give as many points are one.
        tried = {p.share: p for p in (self._points(view, size, params) for size in self.sizes(longest)) if p.share < 1}
        ways = [tried[share] for share in sorted(tried)]
        if params.by == "share":
            return next((way for way in reversed(ways) if way.share <= params.share + 1e-9), ways[0])
        return self._for_energy(values, view, ways, params.energy, context)

    def _points(self, view: View, size: int, params: Any) -> Points:
        longest = max(length for axis in view.axes for length in axis.parts)
        curves = [[self.curve(length, size, longest, params) for length in axis.parts] for axis in view.axes]
        return Points(
            tuple(joint([there for there, _ in parts]) for parts in curves),
            tuple(joint([back for _, back in parts]) for parts in curves),
        )

    def _for_energy(
        self, values: Array, view: View, ways: Sequence[Points], energy: float, context: Context
    ) -> Points:
        """Few points that keep this share of the energy, by bisection: a pass over the weight for each try.

        Points of one number do not contain those of a smaller one, so that an even smaller number may do by chance.
        """
        low, high = 0, len(ways) - 1
        rounds = max(1, len(ways).bit_length())
        kept = kept_energy(values, view, ways[high], context, (0.0, 0.3))
        if kept < energy:
            raise LayerSkipped(
                f"even {percent(ways[high].share)} of its weights as points keep only {percent(max(kept, 0.0))} of the "
                "energy", do="ask for less, or use another filter"
            )
        for number in range(rounds):
            if low >= high:
                break
            middle = (low + high) // 2
            span = (0.3 + 0.3 * number / rounds, 0.3 + 0.3 * (number + 1) / rounds)
            if kept_energy(values, view, ways[middle], context, span) >= energy:
                high = middle
            else:
                low = middle + 1
        return ways[high]

    def label(self, params: Any) -> str:
        what = {"energy": "", "share": " keeps"}[params.by]
        return f"{self.name(params)}{what} {percent(params.energy if params.by == 'energy' else params.share)}"


def kept_energy(values: Array, view: View, points: Points, context: Context, span: tuple[float, float]) -> float:
    """1 - (sum of squares of the curve's error / of the weights), the error at padded places included."""
    there, back = ([m.astype(np.float32) for m in side] for side in (points.analysis, points.synthesis))
    wrong = 0.0
    for piece in pieces(values, view, context, span):
        wrong += float(np.square(piece - multiply(multiply(piece, view, there), view, back), dtype=np.float64).sum())
    return 1 - wrong / float(np.square(values, dtype=np.float64).sum())
