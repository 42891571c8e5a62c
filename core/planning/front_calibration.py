"""Predictions of whole plans brought in line with whole plans that were measured, over the whole range of the front.

Errors of single layers add up only while they are small: large ones meet each other's errors, and outputs saturate. How
far the sum is off depends on how large it is, so one rising curve from sums to measured errors serves all plans.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.planning.plan import PlanPoint


class FrontCalibration:
    """A rising curve from predicted to measured errors: isotonic regression of their logarithms.

    pairs  (predicted, measured) errors of whole plans, not negative; those that are 0 or not finite are passed over

    Between measured plans the logarithm is interpolated; outside of them the ratio of the last ones holds. Isotonic
    regression: Barlow, Bartholomew, Bremner, Brunk, "Statistical Inference under Order Restrictions", 1972.
    """

    def __init__(self, pairs: Sequence[tuple[float, float]]) -> None:
        usable = sorted((math.log(a), math.log(b)) for a, b in pairs if 0.0 < a < math.inf and 0.0 < b < math.inf)
        self._sums, self._errors = _rising(usable)

    @property
    def known(self) -> bool:
        """Whether any plan was measured."""
        return len(self._sums) > 0

    def error(self, predicted: float) -> float:
        """The error to expect of a plan with this sum; the sum itself while nothing was measured."""
        if not self.known or not 0.0 < predicted < math.inf:
            return predicted
        place = math.log(predicted)
        nearest = min(max(place, self._sums[0]), self._sums[-1])
        return math.exp(float(np.interp(nearest, self._sums, self._errors)) + place - nearest)


def no_better_than_measured(
    predicted: Sequence[PlanPoint], measured: Sequence[PlanPoint], cost: Callable[[PlanPoint], float]
) -> list[PlanPoint]:
    """The predicted plans, none of them better than the best measured plan that costs as much or more up to its own.

    cost  of a point, in the unit of the front

    The best plan that was found is what is known best of its size: where the curve says that a smaller one would beat
    it, the curve is wrong. Points that a smaller plan beats are left out, so that what remains falls from each to the
    next.
    """
    best = math.inf
    kept: list[PlanPoint] = []
    edge: list[PlanPoint] = []  # measured plans that no cheaper one beats
    for point in sorted(measured, key=cost):
        if (point.error_measured or 0.0) < best and point.measured is not None:
            best = point.error_measured or 0.0
            edge.append(point)
    for point in sorted(predicted, key=cost):
        above = next((other for other in edge if cost(other) >= cost(point)), None)
        if above is not None and above.measured is not None:
            point = replace(point, error=max(point.error, above.error_measured or 0.0))
            if point.sqnr_db is not None:
                point = replace(point, sqnr_db=min(point.sqnr_db, above.measured.sqnr_db))
        below = [other.error_measured or 0.0 for other in edge if cost(other) <= cost(point)]
        below += [other.error for other in kept[-1:]]
        if point.error == 0.0 or all(point.error < error for error in below):
            kept.append(point)
    return kept


def _rising(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Knots of the rising curve: pools of neighbours whose order contradicts it are replaced by their means."""
    pools: list[tuple[int, float, float]] = []  # how many, their mean sum, their mean error
    for x, y in pairs:
        pool = (1, x, y)
        while pools and (pools[-1][2] >= pool[2] or pools[-1][1] >= pool[1]):
            n, a, b = pools.pop()
            m = n + pool[0]
            pool = (m, (n * a + pool[0] * pool[1]) / m, (n * b + pool[0] * pool[2]) / m)
        pools.append(pool)
    return [x for _, x, _ in pools], [y for _, _, y in pools]
