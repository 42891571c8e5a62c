"""Plans within costs: the most accurate one that takes no more than the budgets say, its time measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from core.analysis.hulls import Array, front
from core.figures import db_text, size_text
from core.planning.budgets import Budget, Goal
from core.planning.candidates import Candidates
from core.planning.knapsack import Unreachable
from core.planning.latency_check import Ground, LatencyCheck
from core.planning.limits import Limit
from core.planning.points import PlanPoints
from core.planning.search import Search, Trial
from core.progress import Reporter

if TYPE_CHECKING:
    from core.model.model import Model

UNIFORM_CHECKS = 2
TIMINGS = 5
"""Files that are built and timed at most until one keeps a budget for the time without wasting it."""
AIM, SPARE = 0.97, 0.92
"""Of that budget: what plans are chosen for, and what a plan takes at least that wastes none of it."""


class WithinCosts:
    """Finds plans within a size, a time or multiply-adds.

    model  whose weights are planned; `ground.original` when its structure is as it was
    tell   is told of every plan that is the best so far
    """

    def __init__(
        self, model: Model, found: Candidates, budgets: tuple[Budget, ...], search: Search, ground: Ground,
        tell: Callable[[Trial], None],
    ) -> None:  # fmt: skip
        self.model, self.found, self.budgets, self.search = model, found, budgets, search
        self.ground, self.tell = ground, tell
        along = next((budget.goal for budget in budgets if budget.goal.is_cost), Goal.SIZE)
        self.points = PlanPoints(found, search, along)
        self.timed = LatencyCheck(ground, search.workshop)

    @property
    def size(self) -> float:
        """Bytes that the file may take; inf when that is not limited."""
        return min((int(b.value) for b in self.budgets if b.goal is Goal.SIZE), default=math.inf)

    def costs_met(self, plan: Trial) -> bool:
        """Whether a plan is within all costs that are limited, as far as they are known."""
        size = min(plan.nbytes, self.model.file_bytes) if not any(plan.steps.values()) else plan.nbytes
        if size > self.size:
            return False
        return all(self._cost(plan, limit) <= limit.budget.value * (1 + 1e-9) for limit in self.search.limits)

    def _cost(self, plan: Trial, limit: Limit) -> float:
        """Measured where it was; else predicted."""
        if limit.budget.goal is Goal.LATENCY and self.timed.known(plan) is not None:
            return self.timed.milliseconds(plan)
        return limit.of(plan.options)

    def within(self, nbytes: float) -> Trial:
        """The most accurate plan that takes no more than `nbytes` and is within the limits."""
        try:
            best = self.search.measured(self.search.fitted(nbytes))
        except Unreachable as error:
            if error.options is None or self.latency is None:
                raise self.unreachable(error) from None
            best = self._fastest(error)
        self.tell(best)
        best = self._fast_enough(self._against_uniform(best, nbytes), nbytes)
        met = best
        best = self.search.improved(best, nbytes, self.tell)
        best = self.search.filled(best, nbytes, self.tell)
        return met if best is not met and self.too_slow(best) else best

    def too_slow(self, plan: Trial) -> bool:
        """Whether the file of a plan misses a budget for the time, measured."""
        limit = self.latency
        if limit is None or (self.model is self.ground.original and not any(plan.steps.values())):
            return limit is not None and (self.ground.milliseconds or 0.0) > limit.budget.value
        return self.timed.milliseconds(plan, self._quiet) > limit.budget.value

    @property
    def latency(self) -> Limit | None:
        """The limit on the time, if plans can be timed."""
        on_time = (limit for limit in self.search.limits if limit.budget.goal is Goal.LATENCY and self.timed.able)
        return next(on_time, None)

    @property
    def _quiet(self) -> Reporter:
        """Hears a cancel and leaves the bar where it is."""
        return self.search.reporter.part(0.0, 0.0)

    def _fast_enough(self, best: Trial, nbytes: float) -> Trial:
        """The most accurate plan whose file, built and timed, keeps the budget for the time.

        What a file saves against what it was predicted to save says where the limit has to be that plans are chosen
        within: tighter or looser. Raises Unreachable when even the fastest plan is too slow.
        """
        met: Trial | None = None
        slow, fast = math.inf, 0.0  # limits that gave files that are too slow, and files that keep the budget
        for _ in range(TIMINGS):
            limit = self.latency
            if limit is None:
                return best
            took, wanted = self.timed.milliseconds(best, self._quiet), limit.budget.value
            if took <= wanted:
                met = best if met is None or best.error < met.error else met
                fast = max(fast, limit.value)
            else:
                slow = min(slow, limit.value)
            if SPARE * wanted <= took <= wanted:
                break
            value = limit.value * AIM * wanted / took
            value = value if fast < value < slow else 0.5 * (fast + slow) if fast and slow < math.inf else value
            moved = limit.corrected(value / limit.value)
            self.search.limits = tuple(moved if one is limit else one for one in self.search.limits)
            try:
                best = self.search.measured(self.search.fitted(nbytes))
            except Unreachable as error:
                return met or self._fastest(error)
            self.tell(best)
        return met or best

    def _fastest(self, error: Unreachable) -> Trial:
        """The plan that is predicted to take least, if its file keeps the budgets; else raises Unreachable."""
        if error.options is None or self.latency is None:
            raise self.unreachable(error) from None
        fastest = self.search.measured(self.search.carried_out(error.options))
        if self.too_slow(fastest) or fastest.nbytes > self.size:
            raise self.unreachable(error) from None
        return fastest

    def _against_uniform(self, best: Trial, nbytes: float) -> Trial:
        """The plan, or a uniform setting within the budgets that measures better."""
        fitting = [point for point in self.points.uniform() if point.bytes <= nbytes * 1.02]
        fitting = [point for point in fitting if self.search.holds(np.array(point.options, np.int64))]
        for point in sorted(fitting, key=lambda point: point.error)[:UNIFORM_CHECKS]:
            if self.search.out and self.search.evaluator is not None:
                break
            trial = self.search.carried_out(np.array(point.options, np.int64), learned=False)
            if trial.nbytes <= nbytes:
                trial = self.search.measured(trial)
                if trial.error < best.error:
                    best = trial
                    self.tell(best)
        return best

    def unreachable(self, error: Unreachable) -> Unreachable:
        """The sentence for budgets that no plan meets: what is the least there is, and what that costs."""
        words = " and ".join(budget.text for budget in self.budgets)
        if not self.search.limits:
            smallest = self.search.carried_out(front(self.search.points).start)
            least, value = f"the smallest file is {size_text(error.cost)}", error.cost
        else:
            smallest = self.search.carried_out(self._least(error))
            told = [limit.budget.cost_text(self.measured_cost(smallest, limit)) for limit in self.search.limits]
            value = self.measured_cost(smallest, self.search.limits[0])
            told += [size_text(smallest.nbytes)] if self.size < math.inf else []
            least = f"the least that a plan takes is {' and '.join(told)}"
        return Unreachable(
            f"no plan has {words}: {least}{self.loss(smallest)}", value, error.error, where=self.model.name,
            do="give a larger budget, or allow more families",
        )  # fmt: skip

    def _least(self, error: Unreachable) -> Array:
        """Options of the plan that takes least of what cannot be reached."""
        if error.options is not None:
            return error.options
        costs = [np.where(np.isfinite(p.errors), c, np.inf) for p, c in
                 zip(self.found.points, self.search.limits[0].costs, strict=True)]  # fmt: skip
        return np.array([int(np.argmin(cost)) for cost in costs], np.int64)

    def measured_cost(self, plan: Trial, limit: Limit) -> float:
        if limit.budget.goal is Goal.LATENCY and self.timed.able:
            return self.timed.milliseconds(plan, self._quiet)
        return limit.of(plan.options)

    def loss(self, plan: Trial) -> str:
        """What a plan loses, measured where it can be, as the end of a sentence."""
        if self.search.evaluator is None:
            return ""
        result = self.search.measured(plan).measured
        if result is None:
            return ""
        return f", at an output SQNR of {db_text(result.sqnr_db)} and {result.metric_text} {result.value_text}"
