"""Whole plans as points: the front along what the budget limits, uniform settings for reference, what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from core.analysis.hulls import Array, Front, Points, front
from core.analysis.sensitivity.cells import Measure, Setting, setting_label
from core.planning.budgets import Goal
from core.planning.candidates import Candidates
from core.planning.front_calibration import FrontCalibration, no_better_than_measured
from core.planning.plan import PlanPoint
from core.planning.search import Search, Trial

FRONT_POINTS = 60
ANCHORS = 4
"""Plans far from all that were measured which are measured last, for the front to be right there as well."""
USUAL = ("int8", "int4", "fp16")
"""Settings for all layers that people know: measured, so that what is drawn of them can be compared with."""
MIXED, LEARNED, UNIFORM = "mixed", "learned", "uniform"
ENOUGH = 3
"""Measured plans that suffice for a curve of their own."""
ABOVE = 0.3
"""What a distance counts above all measured plans, where the curve is straight, against one below them."""


class PlanPoints:
    """The points of one search.

    goal  the cost along which the front goes
    """

    def __init__(self, found: Candidates, search: Search, goal: Goal) -> None:
        self._found, self._search, self._goal = found, search, goal
        self._uniform_keys: set[bytes] = set()
        self._uniform = self._uniform_settings()
        self._uniform_keys = {np.array(point.options, np.int64).tobytes() for point in self._uniform}

    def sweep(self) -> Front:
        """The front by prediction, along the goal's cost."""
        points = self._found.points
        if self._goal is Goal.SIZE:
            return front(points)
        costs = self._found.costs(self._goal)
        known = [np.isfinite(cost) for cost in costs]
        return front([
            Points(np.where(k, cost, 0.0), np.where(k, p.errors, np.inf))
            for k, cost, p in zip(known, costs, points, strict=True)
        ])  # fmt: skip

    def anchor(self) -> None:
        """Measure what the curves need, as time allows.

        That is the smallest plan, others of the front that are far from every measured one, and the usual settings.
        """
        if self._search.evaluator is None:
            return
        sweep, search = self.sweep(), self._search
        plans = [sweep.choice(k) for k in sweep.spread(FRONT_POINTS)]
        sizes = {id(plan): math.log(max(self._bytes(plan), 1)) for plan in plans}
        far = [plan for plan in plans if search.plain_sum(plan) > 0.0]
        for _ in range(ANCHORS):
            known = [math.log(max(t.nbytes, 1)) for t in search.trials.values() if t.measured is not None]
            if not far or not known or search.late:
                break
            top = max(known)
            away = [
                min(abs(sizes[id(plan)] - size) for size in known) * (ABOVE if sizes[id(plan)] > top else 1.0)
                for plan in far
            ]
            search.measured(search.carried_out(far.pop(int(np.argmax(away))), learned=False))
        for point in self._uniform:
            if point.label in USUAL and not search.late:
                search.measured(search.carried_out(np.array(point.options, np.int64), learned=False))

    def front(self) -> tuple[PlanPoint, ...]:
        """Plans along the front as measured plans say they are, and every plan that was measured, by their cost."""
        sweep, curves = self.sweep(), self._curves(MIXED)
        points = [self.point(sweep.choice(k), curves=curves) for k in sweep.spread(FRONT_POINTS)]
        measured = [self.measured(t) for t in self._search.trials.values() if t.measured is not None]
        points = no_better_than_measured(points, measured, self._cost)
        return tuple(sorted([*points, *measured], key=self._cost))

    def uniform(self) -> tuple[PlanPoint, ...]:
        """One setting for all layers that take it: exact bytes and figures where it was measured."""
        curves = self._curves(UNIFORM)
        return tuple(self._with_figures(point, curves) for point in self._uniform)

    def _kind(self, trial: Trial) -> str:
        if trial.options.tobytes() in self._uniform_keys:
            return UNIFORM
        return LEARNED if trial.learned else MIXED

    def _curves(self, kind: str, apart: Trial | None = None) -> _Curves:
        """What measured plans of a kind, `apart` not among them, say about sums of errors; all where they are few.

        Plans that learned from samples do better than their sums, and so do uniform settings, which nobody chose for
        small sums: they say little about other plans.
        """
        search = self._search
        known = [(search.plain_sum(t.options), t) for t in search.trials.values()
                 if t.measured is not None and (apart is None or t.key != apart.key)]  # fmt: skip
        alike = [(total, t) for total, t in known if self._kind(t) == kind]
        known = alike if len(alike) >= ENOUGH else known
        return _Curves(
            FrontCalibration([(total, t.error) for total, t in known]),
            FrontCalibration([(total, t.measured.error(Measure.SQUARED)) for total, t in known if t.measured]),
        )

    def _bytes(self, options: Array) -> int:
        return sum(int(p.costs[o]) for p, o in zip(self._found.points, options, strict=True)) + self._search.fixed

    def _expected(self, options: Array, curves: _Curves) -> tuple[float, float | None]:
        """Error and output SQNR to expect of a plan."""
        total = self._search.plain_sum(options)
        if total == 0.0:
            return 0.0, math.inf
        if not curves.noise.known and self._search.measure != Measure.SQUARED:
            return total, None
        noise = curves.noise.error(total)
        return curves.error.error(total), -10.0 * math.log10(noise) if 0.0 < noise < math.inf else None

    def point(self, options: Array, label: str = "", curves: _Curves | None = None) -> PlanPoint:
        """A plan that is only predicted."""
        error, sqnr = self._expected(options, curves or self._curves(UNIFORM if label else MIXED))
        chosen = tuple(int(option) for option in options)
        return self._run(PlanPoint(self._bytes(options), error, sqnr, None, label, chosen))

    def measured(self, trial: Trial) -> PlanPoint:
        """A plan that was carried out, with what was measured of it, and what the others predict."""
        error, sqnr = self._expected(trial.options, self._curves(self._kind(trial), apart=trial))
        learned = tuple(
            layer for layer, (cells, option) in enumerate(zip(self._found.cells, trial.options, strict=True))
            if trial.steps[cells[0].layer] != cells[option].steps
        )  # fmt: skip
        options = tuple(int(option) for option in trial.options)
        point = PlanPoint(trial.nbytes, error, sqnr, trial.measured, "", options, learned)
        return self._run(replace(point, error_measured=trial.error))

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

    def _with_figures(self, point: PlanPoint, curves: _Curves) -> PlanPoint:
        options = np.array(point.options, np.int64)
        trial = self._search.trials.get((options.tobytes(), False))
        if trial is None:
            return self.point(options, point.label, curves)
        return replace(self.measured(trial), label=point.label)


@dataclass(frozen=True)
class _Curves:
    """From sums of single errors to errors in the plan's measure, and to noise relative to the signal."""

    error: FrontCalibration
    noise: FrontCalibration
