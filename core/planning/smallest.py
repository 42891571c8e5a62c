"""The smallest plan that keeps a quality: an output SQNR, or a drop of the metric."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from core.analysis.hulls import front
from core.figures import size_text
from core.planning.budgets import Budget, Goal
from core.planning.evaluation import Measured
from core.planning.knapsack import Unreachable
from core.planning.search import Search, Trial
from core.planning.within import WithinCosts

HALVINGS = 8
NEAR = 1.02
"""A smallest file is looked for until the next smaller one that fails is within this ratio."""
SHRINK = (0.96, 0.92, 0.88, 0.84)
SHOWN = 0.05
"""Points of a margin that are worth a word."""
MARGIN = 0.5
"""Standard errors that a drop stays below its limit while plans are compared: the smallest of many that just pass has
been lucky, and loses more on other samples."""
COUNTING = frozenset({"accuracy", "agreement", "decisions"})
"""Metrics that count one answer a sample."""
ANSWERS = 3
"""Samples that may lose their answer within the limit, on as many as plans are compared on at least."""


class Smallest:
    """Finds the smallest plan of the wished quality.

    costs  limits that are to be kept as well
    notes  gets sentences that a person should know
    tell   is told of every plan that is the best so far
    """

    def __init__(
        self, budgets: tuple[Budget, ...], search: Search, costs: WithinCosts, notes: list[str],
        tell: Callable[[Trial], None],
    ) -> None:  # fmt: skip
        self.budgets, self.search, self.costs, self.notes, self.tell = budgets, search, costs, notes, tell

    def fine(self, trial: Trial) -> bool:
        """Whether a measured plan keeps the wished quality, and most likely on other samples as well."""
        wanted = [budget for budget in self.budgets if not budget.goal.is_cost]
        found = trial.measured
        if found is None or not wanted:
            return False
        return all(kept(budget, found, trial.error, spare=spare(budget, found)) for budget in wanted)

    def found(self, nothing: Trial) -> Trial:
        """The smallest plan that keeps the wished quality, by halving the sizes between one that does and one not."""
        search = self.search
        if search.limits:
            nothing = self._within_limits()
        least = search.carried_out(front(search.points).start)
        if search.holds(least.options):
            least = search.measured(least)
            if self.fine(least):
                self.notes.append("Even the smallest plan keeps the budget.")
                return self._small_enough(least)
        best, low, high = nothing, least.nbytes, nothing.nbytes
        learned = False
        for step in range(HALVINGS):
            if search.out or high <= NEAR * low:
                break
            size = int(self._guess(low, high) if step == 0 else math.sqrt(low * high))
            try:
                trial = search.measured(search.fitted(size))
            except Unreachable:  # a limit of the time, for example, wants larger layers
                low = size
                continue
            if not learned and not search.out:  # once: what samples teach may serve all plans to come
                learned = True
                better = search.measured(search.carried_out(trial.options, True))
                search.learn = better.error < trial.error
                trial = better if search.learn and better.nbytes <= size else trial
            if self.fine(trial):
                best, high = trial, min(trial.nbytes, size)
                self.tell(best)
            else:
                low = size
        best = self._shrunk(best)
        self._tell_margin(best)
        return self._small_enough(best)

    def _tell_margin(self, best: Trial) -> None:
        """Say how far below a limited drop plans were kept, as a smaller plan would just have passed."""
        for budget in self.budgets:
            if budget.goal is not Goal.DROP or best.measured is None:
                continue
            points = spare(budget, best.measured)
            if points >= SHOWN:
                self.notes.append(
                    f"Plans were kept {points:.1f} points below the limit: {best.measured.samples:,} samples do not "
                    "tell smaller differences from luck."
                )


    def _within_limits(self) -> Trial:
        """The most accurate plan within the limits, if it keeps the quality. Raises Unreachable."""
        try:
            best = self.costs.within(math.inf)
        except Unreachable as error:
            raise self.costs.unreachable(error) from None
        if self.fine(best):
            return best
        words = " and ".join(budget.text for budget in self.budgets)
        limit = self.search.limits[0]
        raise Unreachable(
            f"no plan has {words}: the best with {limit.budget.text} has {self.costs.loss(best).removeprefix(', at ')}",
            self.costs.measured_cost(best, limit), best.error, where=self.costs.model.name,
            do="give a larger budget, or allow more families",
        )  # fmt: skip

    def _small_enough(self, best: Trial) -> Trial:
        """The plan, when a size is limited as well and it is no larger. Raises Unreachable."""
        if best.nbytes <= self.costs.size:
            return best
        words = " and ".join(budget.text for budget in self.budgets)
        raise Unreachable(
            f"no plan has {words}: the smallest file that keeps the quality is {size_text(best.nbytes)}",
            best.nbytes, best.error, where=self.costs.model.name, do="give a larger size, or allow more families",
        )  # fmt: skip

    def _guess(self, low: float, high: float) -> float:
        """The size to try first: where the prediction says, if it speaks of what is limited."""
        wanted = next((budget.value for budget in self.budgets if budget.goal is Goal.SQNR), None)
        if wanted is not None and self.search.measure == "squared":
            sweep = front(self.search.points)
            k = int(np.searchsorted(-sweep.errors, -(10.0 ** (-wanted / 10.0))))
            size = float(sweep.costs[min(k, len(sweep) - 1)]) + self.search.fixed
            if low < size < high:
                return size
        return math.sqrt(low * high)

    def _shrunk(self, best: Trial) -> Trial:
        """Still smaller plans that keep the quality, after the predictions were corrected within this one."""
        if best.measured is None:
            return best  # nothing smaller than the original keeps it
        for factor in SHRINK:
            if self.search.out or not self.search.correct(best):
                break
            try:
                trial = self.search.measured(self.search.fitted(int(factor * best.nbytes)))
            except Unreachable:
                break
            if not self.fine(trial):
                trial = self.search.measured(self.search.fitted(int(0.5 * (1 + factor) * best.nbytes)))
            if not self.fine(trial) or trial.nbytes >= best.nbytes:
                break
            best = trial
            self.tell(best)
        return best


def kept(budget: Budget, found: Measured, error: float, *, spare: float = 0.0) -> bool:
    """Whether what was measured keeps a quality.

    spare  points that a drop has to stay below its limit
    """
    if budget.goal is Goal.SQNR:
        return found.sqnr_db >= budget.value
    return found.drop <= budget.value - spare + 1e-9 and error < math.inf


def spare(budget: Budget, found: Measured) -> float:
    """Points that the drop of one plan among many should stay below its limit.

    Where single answers are counted, MARGIN standard errors, but one answer may always be lost that the limit allows;
    elsewhere a tenth of the limit.
    """
    if found.metric not in COUNTING:
        return 0.1 * budget.value
    one = min(100.0 / max(found.samples, 1), budget.value)
    return min(MARGIN * standard_error(found), budget.value - one)


def standard_error(found: Measured) -> float:
    """Standard error in points of a drop, for metrics that count one right or wrong answer a sample; else 0.

    Both models answer the same samples, so only answers that changed count: with a share c of them and a drop d, the
    difference has a variance of (c - d^2) / n at most (McNemar, Note on the sampling error of the difference between
    correlated proportions, 1947).
    """
    if found.metric not in COUNTING or found.samples == 0:
        return 0.0
    drop = found.drop / 100.0
    changed = max(abs(drop), found.changed or 0.0)
    return 100.0 * math.sqrt(max(changed - drop * drop, 0.0) / found.samples)


def samples_wanted(budgets: tuple[Budget, ...]) -> int:
    """Samples on which a drop of a third of the limit can be told; 0 when none is limited."""
    limits = [budget.value for budget in budgets if budget.goal is Goal.DROP]
    return math.ceil(ANSWERS * 100.0 / max(min(limits), 0.1)) if limits else 0
