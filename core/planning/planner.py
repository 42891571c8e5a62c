"""The best plan for a budget: chosen by what single layers cost, then corrected and checked by measuring whole plans.

Samples are kept apart: those that steps and layers' sensitivities come from, those that plans are compared on, and
those that the finished plan is measured on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.hulls import Array, front
from core.analysis.sensitivity.cells import Measure, Sensitivity
from core.errors import FeatherweightError
from core.exporting.sizes import SizeModel
from core.figures import db_text, size_text
from core.planning.budgets import Budget, Goal
from core.planning.candidates import Candidates
from core.planning.evaluation import Evaluator, Measured
from core.planning.knapsack import Unreachable
from core.planning.latency_check import Ground, LatencyCheck
from core.planning.limits import Limit, choose_within, limits_of
from core.planning.plan import Plan, binding_layers, planned_layers
from core.planning.points import PlanPoints
from core.planning.search import Search, Trial
from core.planning.workshop import Workshop
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model

EVALUATIONS = 30
"""Whole plans that are measured at most, besides the finished one."""
MINUTES = 5.0
UNIFORM_CHECKS = 2
HALVINGS = 8
NEAR = 1.02
"""A smallest file is looked for until the next smaller one that fails is within this ratio."""
SHRINK = (0.96, 0.92, 0.88, 0.84)
CHECK_SECONDS = 2.0
FEWEST, MOST_CHECKED = 16, 256
MOST_MEASURED = 2_000
CONFIRMED = 4
TIMINGS = 5
"""Files that are built and timed at most until one keeps a budget for the time without wasting it."""
AIM, SPARE = 0.97, 0.92
"""Of that budget: what plans are chosen for, and what a plan takes at least that wastes none of it."""


@dataclass(frozen=True)
class Wish:
    """What a plan is wanted for.

    budget       the limit
    evaluations  whole plans to measure at most
    minutes      after which no further plan is measured; None: MINUTES
    also         a second limit, of another goal; None for one alone
    """

    budget: Budget
    evaluations: int = EVALUATIONS
    minutes: float | None = None
    also: Budget | None = None


def make_plan(
    model: Model,
    table: Sensitivity,
    found: Candidates,
    wish: Wish,
    *,
    calibration: Samples | None = None,
    test: Samples | None = None,
    reporter: Reporter = SILENT,
    on_best: Callable[[Plan], None] | None = None,
    seed: int = 0,
    ground: Ground | None = None,
) -> Plan:
    """The best plan that was found for the budget.

    table        the sensitivities that `found` was made from
    calibration  samples that steps may learn from
    test         other samples: plans are compared on one half of them and the finished one is measured on the other,
                 on all where there are few; None: the plan is only predicted
    on_best      is told of every plan that is the best so far, before the last one is returned
    ground       what plans are compared with; None: `model` itself, untimed. Its changed structure is `model`

    A plan for a size is never worse than the best uniform setting of the same size, as far as was measured. Raises
    Unreachable when no plan meets the budget (its sentence says the smallest file and what that costs), Cancelled, and
    DataError or ModelFileError when the model does not run on the samples.
    """
    ground = ground or Ground(model)
    return _Planning(model, table, found, wish, calibration, test, reporter, on_best, seed, ground).plan()


def apart(test: Samples | None) -> tuple[Samples | None, Samples | None]:
    """Samples to compare plans on, and others for the finished one; the same where there are few."""
    if test is None or test.n < 2 * FEWEST:
        return test, test
    return test.split(MOST_MEASURED)


class _Planning:
    """One call of `make_plan`."""

    def __init__(
        self, model: Model, table: Sensitivity, found: Candidates, wish: Wish, calibration: Samples | None,
        test: Samples | None, reporter: Reporter, on_best: Callable[[Plan], None] | None, seed: int, ground: Ground,
    ) -> None:  # fmt: skip
        self.model, self.found, self.budget, self.also, self.ground = model, found, wish.budget, wish.also, ground
        self.budgets = (wish.budget,) if wish.also is None else (wish.budget, wish.also)
        self.checked, self.test = apart(test)
        self.reporter, self.tell, self.started = reporter, on_best, time.monotonic()
        self.measure = table.measure
        self.notes: list[str] = list(table.notes)
        reporter.report(0.0, "Predicting sizes")
        workshop = Workshop(model, SizeModel(model), calibration, seed)
        evaluator = self._evaluator(reporter.part(0.0, 0.1))
        until = self.started + 60.0 * (MINUTES if wish.minutes is None else wish.minutes)
        self.search = Search(
            found, workshop, evaluator, self.measure, reporter.part(0.1, 0.9), most=wish.evaluations, until=until,
            limits=limits_of(found, self.budgets),
        )  # fmt: skip
        along = next((b.goal for b in self.budgets if b.goal.is_cost), Goal.SIZE)
        self.points = PlanPoints(found, self.search, along)
        self.timed = LatencyCheck(ground, workshop)
        self.predicted: tuple[float, float] | None = None  # of the finished plan: its error, its noise to signal

    def plan(self) -> Plan:
        """Carry it out."""
        leave = np.zeros(len(self.found.cells), np.int64)
        nothing = self.search.carried_out(leave, learned=False)
        self._foretell(nothing)
        if all(budget.goal.is_cost for budget in self.budgets):
            if self._costs_met(nothing) and not self._too_slow(nothing):
                self.notes.append(self._already_met(nothing.nbytes))
                return self._finished(nothing, final=True)
            best = self._within(self._size)
        else:
            if self.search.evaluator is None:
                quality = next(budget for budget in self.budgets if not budget.goal.is_cost)
                raise FeatherweightError(
                    f"{quality.text} can only be kept with samples to measure on", do="give samples (--data)"
                )
            best = self._smallest(nothing)
        return self._finished(best, final=True)

    @property
    def _size(self) -> float:
        """Bytes that the file may take; inf when that is not limited."""
        return min((int(b.value) for b in self.budgets if b.goal is Goal.SIZE), default=math.inf)

    def _costs_met(self, plan: Trial) -> bool:
        """Whether a plan is within all costs that are limited, as far as they are known."""
        size = min(plan.nbytes, self.model.file_bytes) if not any(plan.steps.values()) else plan.nbytes
        if size > self._size:
            return False
        return all(self._cost(plan, limit) <= limit.budget.value * (1 + 1e-9) for limit in self.search.limits)

    def _cost(self, plan: Trial, limit: Limit) -> float:
        """Measured where it was; else predicted."""
        if limit.budget.goal is Goal.LATENCY and self.timed.known(plan) is not None:
            return self.timed.milliseconds(plan)
        return limit.of(plan.options)

    def _foretell(self, nothing: Trial) -> None:
        """Tell what the predictions alone would choose, and their front, before anything is measured."""
        sweep, fixed = front(self.search.points), self.search.fixed
        foretold = nothing  # a quality is not foretold, nor what cannot be reached: the front alone is
        try:
            if self.search.limits:
                options = choose_within(self.search.points, self._size - fixed, self.search.limits).options
                foretold = self._predicted(options)
            elif (place := sweep.within(self._size - fixed)) >= 0 and self._size < math.inf:
                foretold = self._predicted(sweep.choice(place))
        except Unreachable:
            pass  # told later, with what the nearest plan costs
        self._tell_best(foretold)

    def _predicted(self, options: Array) -> Trial:
        """A plan that was not carried out."""
        error = self.search.sum_of(options)
        nbytes = sum(int(p.costs[o]) for p, o in zip(self.found.points, options, strict=True)) + self.search.fixed
        return Trial(options, False, self.found.steps(options), nbytes, error, error=error)

    def _already_met(self, nbytes: int) -> str:
        if self.model is not self.ground.original:
            return "The changed graph keeps the budget by itself: the weights stay as they are."
        words = "The budgets are" if self.also else "The budget is"
        if not self.search.limits and nbytes <= self._size < self.model.file_bytes:
            return (
                f"{words} met already: the file takes {size_text(self.model.file_bytes)}, and "
                f"{size_text(nbytes)} when it is cleaned up on export. The plan changes no layer."
            )
        as_it_is = np.zeros(len(self.found.cells), np.int64)
        takes = [limit.budget.cost_text(limit.of(as_it_is)) for limit in self.search.limits]
        if self._size < math.inf:
            takes.append(size_text(min(nbytes, self.model.file_bytes)))
        return f"{words} met already: the model takes {' and '.join(takes)}. The plan changes no layer."

    # ---- costs

    def _within(self, nbytes: float) -> Trial:
        """The most accurate plan that takes no more than `nbytes` and is within the limits."""
        try:
            best = self.search.measured(self.search.fitted(nbytes))
        except Unreachable as error:
            if error.options is None or self._latency is None:
                raise self._unreachable(error) from None
            best = self._fastest(error)
        self._tell_best(best)
        best = self._fast_enough(self._against_uniform(best, nbytes), nbytes)
        met = best
        best = self.search.improved(best, nbytes, self._tell_best)
        return met if best is not met and self._too_slow(best) else best

    def _too_slow(self, plan: Trial) -> bool:
        """Whether the file of a plan misses a budget for the time, measured."""
        limit = self._latency
        if limit is None or (self.model is self.ground.original and not any(plan.steps.values())):
            return limit is not None and (self.ground.milliseconds or 0.0) > limit.budget.value
        return self.timed.milliseconds(plan, self._quiet) > limit.budget.value

    @property
    def _latency(self) -> Limit | None:
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
            limit = self._latency
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
            self._tell_best(best)
        return met or best

    def _fastest(self, error: Unreachable) -> Trial:
        """The plan that is predicted to take least, if its file keeps the budgets; else raises Unreachable."""
        if error.options is None or self._latency is None:
            raise self._unreachable(error) from None
        fastest = self.search.measured(self.search.carried_out(error.options))
        if self._too_slow(fastest) or fastest.nbytes > self._size:
            raise self._unreachable(error) from None
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
                    self._tell_best(best)
        return best

    def _unreachable(self, error: Unreachable) -> Unreachable:
        """The sentence for budgets that no plan meets: what is the least there is, and what that costs."""
        words = " and ".join(budget.text for budget in self.budgets)
        if not self.search.limits:
            smallest = self.search.carried_out(front(self.search.points).start)
            least, value = f"the smallest file is {size_text(error.cost)}", error.cost
        else:
            smallest = self.search.carried_out(self._least(error))
            told = [limit.budget.cost_text(self._measured_cost(smallest, limit)) for limit in self.search.limits]
            value = self._measured_cost(smallest, self.search.limits[0])
            told += [size_text(smallest.nbytes)] if self._size < math.inf else []
            least = f"the least that a plan takes is {' and '.join(told)}"
        return Unreachable(
            f"no plan has {words}: {least}{self._loss(smallest)}", value, error.error, where=self.model.name,
            do="give a larger budget, or allow more families",
        )  # fmt: skip

    def _least(self, error: Unreachable) -> Array:
        """Options of the plan that takes least of what cannot be reached."""
        if error.options is not None:
            return error.options
        costs = [np.where(np.isfinite(p.errors), c, np.inf) for p, c in
                 zip(self.found.points, self.search.limits[0].costs, strict=True)]  # fmt: skip
        return np.array([int(np.argmin(cost)) for cost in costs], np.int64)

    def _measured_cost(self, plan: Trial, limit: Limit) -> float:
        if limit.budget.goal is Goal.LATENCY and self.timed.able:
            return self.timed.milliseconds(plan, self._quiet)
        return limit.of(plan.options)

    def _loss(self, plan: Trial) -> str:
        """What a plan loses, measured where it can be, as the end of a sentence."""
        if self.search.evaluator is None:
            return ""
        result = self.search.measured(plan).measured
        if result is None:
            return ""
        return f", at an output SQNR of {db_text(result.sqnr_db)} and {result.metric_text} {result.value_text}"

    # ---- a quality

    def _fine(self, trial: Trial) -> bool:
        """Whether a measured plan keeps the wished quality."""
        wanted = [budget for budget in self.budgets if not budget.goal.is_cost]
        found = trial.measured
        return found is not None and bool(wanted) and all(kept(budget, found, trial.error) for budget in wanted)

    def _smallest(self, nothing: Trial) -> Trial:
        """The smallest plan that keeps the wished quality, by halving the sizes between one that does and one not."""
        search = self.search
        if search.limits:
            nothing = self._fine_within()
        least = search.carried_out(front(search.points).start)
        if search.holds(least.options):
            least = search.measured(least)
            if self._fine(least):
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
            if self._fine(trial):
                best, high = trial, min(trial.nbytes, size)
                self._tell_best(best)
            else:
                low = size
        return self._small_enough(self._shrunk(best))

    def _fine_within(self) -> Trial:
        """The most accurate plan within the limits, if it keeps the quality. Raises Unreachable."""
        try:
            best = self._within(math.inf)
        except Unreachable as error:
            raise self._unreachable(error) from None
        if self._fine(best):
            return best
        words = " and ".join(budget.text for budget in self.budgets)
        limit = self.search.limits[0]
        raise Unreachable(
            f"no plan has {words}: the best with {limit.budget.text} has {self._loss(best).removeprefix(', at ')}",
            self._measured_cost(best, limit), best.error, where=self.model.name,
            do="give a larger budget, or allow more families",
        )  # fmt: skip

    def _small_enough(self, best: Trial) -> Trial:
        """The plan, when a size is limited as well and it is no larger. Raises Unreachable."""
        if best.nbytes <= self._size:
            return best
        words = " and ".join(budget.text for budget in self.budgets)
        raise Unreachable(
            f"no plan has {words}: the smallest file that keeps the quality is {size_text(best.nbytes)}",
            best.nbytes, best.error, where=self.model.name, do="give a larger size, or allow more families",
        )  # fmt: skip

    def _guess(self, low: float, high: float) -> float:
        """The size to try first: where the prediction says, if it speaks of what is limited."""
        wanted = next((budget.value for budget in self.budgets if budget.goal is Goal.SQNR), None)
        if wanted is not None and self.measure == "squared":
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
            if not self._fine(trial):
                trial = self.search.measured(self.search.fitted(int(0.5 * (1 + factor) * best.nbytes)))
            if not self._fine(trial) or trial.nbytes >= best.nbytes:
                break
            best = trial
            self._tell_best(best)
        return best

    # ---- samples

    def _evaluator(self, reporter: Reporter) -> Evaluator | None:
        """Measures on as many samples as take about CHECK_SECONDS."""
        if self.checked is None:
            return None
        start = time.perf_counter()
        Evaluator(self.ground.original, self.model, self.checked, limit=2)
        each = (time.perf_counter() - start) / 3  # loading included: a plan is loaded as well
        drop = any(budget.goal is Goal.DROP for budget in self.budgets)
        wanted = CHECK_SECONDS * (2.0 if drop else 1.0) / max(each, 1e-6)
        limit = int(min(max(wanted, FEWEST), MOST_MEASURED if drop else MOST_CHECKED))
        return Evaluator(self.ground.original, self.model, self.checked, limit=limit, reporter=reporter)

    def _confirmed(self, best: Trial) -> tuple[Trial, Measured | None]:
        """The finished plan on the samples that no plan was compared on.

        Where a quality is wished and these samples say that it is just missed, the next larger plan that keeps it.
        """
        if self.test is None or self.search.evaluator is None:
            return best, None
        rest = self.reporter.part(0.9, 1.0)
        rest.report(0.0, "Measuring the finished plan")
        original, part = self.ground.original, rest.part(0.0, 0.3)
        whole = Evaluator(original, self.model, self.test, limit=MOST_MEASURED, reporter=part)
        larger = [t for t in self.search.trials.values() if t.nbytes > best.nbytes and self._fine(t)]
        found = whole.measure(self.search.workshop.encodings(best.steps), rest)
        for other in sorted(larger, key=lambda t: t.nbytes)[:CONFIRMED]:
            if self._met(best, found):
                break
            best, found = other, whole.measure(self.search.workshop.encodings(other.steps), rest)
        self._predict(best, whole, rest)
        return best, found

    def _predict(self, best: Trial, whole: Evaluator, reporter: Reporter) -> None:
        """Predict the finished plan on the samples that it is measured on, from another plan measured on these.

        Single samples whose answer flips carry most of the error, so two sets of samples can be decibels apart.
        """
        other = self.search.alike(best)
        if other is None or self.test is self.checked:
            return
        found = whole.measure(self.search.workshop.encodings(other.steps), reporter)
        expected = self.search.sum_of(best.options) / max(self.search.sum_of(other.options), 1e-300)
        self.predicted = expected * found.error(self.measure), expected * found.error(Measure.SQUARED)

    # ---- results

    def _tell_best(self, best: Trial) -> None:
        if self.tell is not None:
            self.tell(self._finished(best, final=False))

    def _finished(self, best: Trial, *, final: bool) -> Plan:
        search = self.search
        errors = [points.errors for points in search.points]
        best, measured = self._confirmed(best) if final else (best, best.measured)
        run = self._run_figures(best, final)
        notes = list(self.notes)
        if measured is not None:
            apart = "plans were compared on" if self.test is not self.checked and final else "steps learned from"
            notes.append(f"Measured on {measured.samples:,} samples, none of those that {apart}.")
        else:
            notes.append("Nothing was measured: errors are predicted.")
        if best.learned:
            notes.append("Rounding learned from samples (error feedback), at the same bytes.")
        base = SizeModel(self.model, list_savings=False).base if final else search.workshop.file_bytes({})
        if final and base < self.model.file_bytes:
            notes.append(f"Cleaning up alone takes {size_text(self.model.file_bytes - base)} off the file.")
        error = search.predicted_error(best) if best.measured else best.predicted
        sqnr = search.predicted_sqnr(search.sum_of(best.options), best)
        if final and self.predicted is not None:
            error, noise = self.predicted
            sqnr = -10.0 * math.log10(noise) if 0.0 < noise < math.inf else sqnr
        return Plan(
            recipe=self.found.recipe(best.steps), budget=self.budget, met=self._met(best, measured),
            bytes_before=self.model.file_bytes, bytes_predicted=best.nbytes, measure=self.measure,
            error_predicted=error, sqnr_predicted_db=sqnr, measured=measured,
            layers=planned_layers(self.found, best.options, errors), front=self.points.front(),
            uniform=self.points.uniform(),
            binding=binding_layers(self.found, best.options, errors), notes=tuple(dict.fromkeys(notes)),
            evaluations=search.measurements, seconds=time.monotonic() - self.started, candidates=self.found,
            options=tuple(int(option) for option in best.options), **run,
        )  # fmt: skip

    def _run_figures(self, best: Trial, final: bool) -> dict[str, Any]:
        """What a run of the plan takes, predicted, and of the finished one measured."""
        count = self.found.cost_of(best.options, Goal.MULTIPLY_ADDS)
        timed = final and any(budget.goal is Goal.LATENCY for budget in self.budgets) and self.timed.able
        return {
            "also": self.also, "latency_before_ms": self.ground.milliseconds,
            "latency_predicted_ms": self.found.cost_of(best.options, Goal.LATENCY),
            "latency": self.timed.of(best, self.reporter.part(1.0, 1.0)) if timed else self.timed.known(best),
            "multiply_adds_before": self.ground.multiply_adds,
            "multiply_adds_after": None if count is None else round(count),
        }  # fmt: skip

    def _met(self, best: Trial, measured: Measured | None) -> bool:
        """Whether all budgets are kept, as far as was measured."""
        if not self._costs_met(best):
            return False
        wanted = [budget for budget in self.budgets if not budget.goal.is_cost]
        if measured is None:
            return not wanted or not any(best.steps.values())
        return all(kept(budget, measured, best.error) for budget in wanted)


def kept(budget: Budget, found: Measured, error: float) -> bool:
    """Whether what was measured keeps a quality."""
    if budget.goal is Goal.SQNR:
        return found.sqnr_db >= budget.value
    return found.drop <= budget.value + 1e-9 and error < math.inf
