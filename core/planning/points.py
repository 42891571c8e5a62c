"""Whole plans as points: the front along what the budget limits, uniform settings for reference, what was measured."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from core.analysis.hulls import Array, Front, Points, front
from core.analysis.sensitivity.cells import Setting, setting_label
from core.planning.budgets import Goal
from core.planning.candidates import Candidates
from core.planning.plan import PlanPoint
from core.planning.search import Search, Trial

FRONT_POINTS = 60


class PlanPoints:
    """The points of one search.

    goal  the cost along which the front goes
    """

    def __init__(self, found: Candidates, search: Search, goal: Goal) -> None:
        self._found, self._search, self._goal = found, search, goal
        self._uniform = self._uniform_settings()

    def sweep(self) -> Front:
        """The front by prediction, along the goal's cost."""
        points = self._search.points
        if self._goal is Goal.SIZE:
            return front(points)
        costs = self._found.costs(self._goal)
        known = [np.isfinite(cost) for cost in costs]
        return front([
            Points(np.where(k, cost, 0.0), np.where(k, p.errors, np.inf))
            for k, cost, p in zip(known, costs, points, strict=True)
        ])  # fmt: skip

    def front(self) -> tuple[PlanPoint, ...]:
        """Predicted plans along the front, and every plan that was measured, by their cost."""
        sweep = self.sweep()
        points = [self.point(sweep.choice(k)) for k in sweep.spread(FRONT_POINTS)]
        points += [self.measured(t) for t in self._search.trials.values() if t.measured is not None]
        return tuple(sorted(points, key=self._cost))

    def uniform(self) -> tuple[PlanPoint, ...]:
        """One setting for all layers that take it: exact bytes and figures where it was measured."""
        return tuple(self._with_figures(point) for point in self._uniform)

    def point(self, options: Array, label: str = "") -> PlanPoint:
        """A plan that is only predicted."""
        error = self._search.sum_of(options)
        nbytes = sum(int(p.costs[o]) for p, o in zip(self._found.points, options, strict=True)) + self._search.fixed
        sqnr = self._search.predicted_sqnr(error) if math.isfinite(error) else None
        return self._run(PlanPoint(nbytes, error, sqnr, None, label, tuple(int(option) for option in options)))

    def measured(self, trial: Trial) -> PlanPoint:
        """A plan that was carried out, with what was measured of it."""
        total = self._search.sum_of(trial.options)
        sqnr = self._search.predicted_sqnr(total, trial) if math.isfinite(total) else None
        learned = tuple(
            layer for layer, (cells, option) in enumerate(zip(self._found.cells, trial.options, strict=True))
            if trial.steps[cells[0].layer] != cells[option].steps
        )  # fmt: skip
        options = tuple(int(option) for option in trial.options)
        return self._run(PlanPoint(trial.nbytes, total, sqnr, trial.measured, "", options, learned))

    def _run(self, point: PlanPoint) -> PlanPoint:
        """With what a run of it takes."""
        count = self._found.cost_of(point.options, Goal.MULTIPLY_ADDS)
        return replace(
            point, milliseconds=self._found.cost_of(point.options, Goal.LATENCY),
            multiply_adds=None if count is None else round(count),
        )  # fmt: skip

    def _cost(self, point: PlanPoint) -> float:
        cost = {Goal.LATENCY: point.milliseconds, Goal.MULTIPLY_ADDS: point.multiply_adds}.get(self._goal, point.bytes)
        return math.inf if cost is None else float(cost)

    def _uniform_settings(self) -> tuple[PlanPoint, ...]:
        settings = dict.fromkeys(cell.steps for cells in self._found.cells for cell in cells if cell.steps)
        return tuple(self._uniform_point(setting) for setting in settings)

    def _uniform_point(self, setting: Setting) -> PlanPoint:
        return self.point(self._found.uniform(setting), setting_label(setting))

    def _with_figures(self, point: PlanPoint) -> PlanPoint:
        options = np.array(point.options, np.int64)
        trial = self._search.trials.get((options.tobytes(), False))
        if trial is None:
            return self.point(options, point.label)
        return replace(self.measured(trial), label=point.label)
