"""Limits on what a run takes: costs that add up over layers, beside the bytes of the file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from core.analysis.hulls import Array, Points
from core.planning.budgets import Budget, Goal
from core.planning.candidates import Candidates
from core.planning.knapsack import Choice, choose, choose_two


@dataclass(frozen=True, eq=False)
class Limit:
    """A budget for milliseconds or multiply-adds of one run.

    value  what plans are chosen within: the budget's, corrected by what finished plans really took
    fixed  what no layer takes
    costs  of each layer's options; inf where it is not known
    """

    budget: Budget
    value: float
    fixed: float
    costs: tuple[Array, ...] = field(repr=False)

    @property
    def room(self) -> float:
        """What is left for the layers."""
        return self.value - self.fixed

    def of(self, options: Array | Sequence[int]) -> float:
        """Predicted cost of a plan."""
        return self.fixed + float(sum(cost[int(option)] for cost, option in zip(self.costs, options, strict=True)))

    def holds(self, options: Array | Sequence[int]) -> bool:
        """Whether a plan is predicted to be within the limit."""
        return self.of(options) <= self.value * (1 + 1e-9)

    def corrected(self, factor: float) -> Limit:
        """The limit with another value to choose within."""
        return replace(self, value=self.value * factor)


def limits_of(found: Candidates, budgets: Sequence[Budget]) -> tuple[Limit, ...]:
    """The limits among the budgets. Those of the file's size and of quality are no limits of this kind."""
    return tuple(
        Limit(budget, budget.value, found.fixed[budget.goal], found.costs(budget.goal))
        for budget in budgets
        if budget.goal in (Goal.LATENCY, Goal.MULTIPLY_ADDS)
    )


def choose_within(points: Sequence[Points], room: float, limits: Sequence[Limit]) -> Choice:
    """The plan of the smallest error within `room` bytes (inf: any number) and the limits; two of the three at most.

    Raises Unreachable.
    """
    if not limits:
        return choose(points, room)
    if math.isinf(room):
        first, limits = limits[0], limits[1:]
        points = [Points(costs, p.errors) for costs, p in zip(first.costs, points, strict=True)]
        room = first.room
    points = [_known(p) for p in points]
    if not limits:
        return choose(points, room)
    return choose_two(points, limits[0].costs, room, limits[0].room)


def _known(points: Points) -> Points:
    """Options whose cost is not known are never taken."""
    from numpy import inf, isfinite, where

    usable = isfinite(points.costs)
    return Points(where(usable, points.costs, 0.0), where(usable, points.errors, inf))
