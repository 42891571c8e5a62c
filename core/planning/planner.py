"""The best plan for a budget: chosen by what single layers cost, then corrected and checked by measuring whole plans.

Samples are kept apart: those that steps and layers' sensitivities come from, those that plans are compared on, and
those that the finished plan is measured on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.hulls import Array, front
from core.analysis.sensitivity.cells import Measure, Sensitivity
from core.errors import FeatherweightError
from core.exporting.sizes import SizeModel
from core.figures import size_text
from core.planning.budgets import Budget, Goal
from core.planning.candidates import Candidates
from core.planning.evaluation import Evaluator, Measured, with_state
from core.planning.knapsack import Unreachable
from core.planning.latency_check import Ground
from core.planning.limits import choose_within, limits_of
from core.planning.plan import Plan, binding_layers, planned_layers
from core.planning.search import Search, Trial
from core.planning.smallest import Smallest, kept, samples_wanted
from core.planning.within import WithinCosts
from core.planning.workshop import Workshop
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model

EVALUATIONS = 30
"""Whole plans that are measured at most, besides the finished one."""
MINUTES = 5.0
CHECK_SECONDS = 2.0
FEWEST, MOST_CHECKED = 16, 256
TIMED = 8
"""Samples that are timed to know how many can be measured on; loading the model is spread over them."""
MOST_MEASURED = 2_000
CONFIRMED = (1.03, 1.06, 1.1, 1.15, 1.2, 1.3, 1.45, 1.6)
"""Times the bytes of larger plans, tried where samples that no plan was compared on say that the quality is missed."""


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


def apart(test: Samples | None, original: Model | None = None) -> tuple[Samples | None, Samples | None]:
    """Samples to compare plans on, and others for the finished one; the same where there are few.

    original  the model; of one with state the first half and the second, so that sequences stay whole
    """
    if test is None or test.n < 2 * FEWEST:
        return test, test
    if original is not None and with_state(original, test):
        middle = min(test.n // 2, MOST_MEASURED)
        return test.part(0, middle), test.part(middle, test.n)
    return test.split(MOST_MEASURED)


class _Planning:
    """One call of `make_plan`."""

    def __init__(
        self, model: Model, table: Sensitivity, found: Candidates, wish: Wish, calibration: Samples | None,
        test: Samples | None, reporter: Reporter, on_best: Callable[[Plan], None] | None, seed: int, ground: Ground,
    ) -> None:  # fmt: skip
        self.model, self.found, self.budget, self.also, self.ground = model, found, wish.budget, wish.also, ground
        self.budgets = (wish.budget,) if wish.also is None else (wish.budget, wish.also)
        self.checked, self.test = apart(test, ground.original)
        self.shared = test is not None and calibration is test  # one sample alone serves for both
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
        self.costs = WithinCosts(model, found, self.budgets, self.search, ground, self._tell_best)
        self.smallest = Smallest(self.budgets, self.search, self.costs, self.notes, self._tell_best)
        self.predicted: tuple[float, float] | None = None  # of the finished plan: its error, its noise to signal

    def plan(self) -> Plan:
        """Carry it out."""
        leave = np.zeros(len(self.found.cells), np.int64)
        nothing = self.search.carried_out(leave, learned=False)
        self._foretell(nothing)
        if all(budget.goal.is_cost for budget in self.budgets):
            if self.costs.costs_met(nothing) and not self.costs.too_slow(nothing):
                self.notes.append(self._already_met(nothing.nbytes))
                return self._finished(nothing, final=True)
            best = self.costs.within(self.costs.size)
        else:
            if self.search.evaluator is None:
                quality = next(budget for budget in self.budgets if not budget.goal.is_cost)
                raise FeatherweightError(
                    f"{quality.text} can only be kept with samples to measure on", do="give samples (--data)"
                )
            best = self.smallest.found(nothing)
        self.costs.points.anchor()
        return self._finished(best, final=True)

    def _foretell(self, nothing: Trial) -> None:
        """Tell what the predictions alone would choose, and their front, before anything is measured."""
        sweep, fixed = front(self.search.points), self.search.fixed
        foretold = nothing  # a quality is not foretold, nor what cannot be reached: the front alone is
        try:
            if self.search.limits:
                options = choose_within(self.search.points, self.costs.size - fixed, self.search.limits).options
                foretold = self._predicted(options)
            elif (place := sweep.within(self.costs.size - fixed)) >= 0 and self.costs.size < math.inf:
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
        if not self.search.limits and nbytes <= self.costs.size < self.model.file_bytes:
            return (
                f"{words} met already: the file takes {size_text(self.model.file_bytes)}, and "
                f"{size_text(nbytes)} when it is cleaned up on export. The plan changes no layer."
            )
        as_it_is = np.zeros(len(self.found.cells), np.int64)
        takes = [limit.budget.cost_text(limit.of(as_it_is)) for limit in self.search.limits]
        if self.costs.size < math.inf:
            takes.append(size_text(min(nbytes, self.model.file_bytes)))
        return f"{words} met already: the model takes {' and '.join(takes)}. The plan changes no layer."

    # ---- samples

    def _evaluator(self, reporter: Reporter) -> Evaluator | None:
        """Measures on as many samples as take about CHECK_SECONDS of computing, so that a busy machine changes nothing.

        A drop is told from more: it is counted in single answers.
        """
        if self.checked is None:
            return None
        original = self.ground.original
        Evaluator(original, self.model, self.checked, limit=1)  # what is only loaded once does not count
        start = time.process_time()
        Evaluator(original, self.model, self.checked, limit=TIMED)
        each = (time.process_time() - start) / (1 + TIMED)
        drop = any(budget.goal is Goal.DROP for budget in self.budgets)
        wanted = CHECK_SECONDS * (2.0 if drop else 1.0) / max(each, 1e-6)
        fewest = max(FEWEST, samples_wanted(self.budgets))
        limit = int(min(max(wanted, fewest), MOST_MEASURED if drop else MOST_CHECKED))
        evaluator = Evaluator(original, self.model, self.checked, limit=limit, reporter=reporter)
        self._tell_skipped(evaluator)
        return evaluator

    def _tell_skipped(self, evaluator: Evaluator) -> None:
        """Say how many samples could not be measured on."""
        if n := evaluator.skipped:
            self.notes.append(
                f"{n:,} sample{'' if n == 1 else 's'} left out: the original itself gives NaN or infinity on "
                f"{'it' if n == 1 else 'them'}."
            )

    def _confirmed(self, best: Trial) -> tuple[Trial, Measured | None]:
        """The finished plan on the samples that no plan was compared on.

        Where a quality is wished and these samples say that it is missed, larger plans until one keeps it.
        """
        if self.test is None or self.search.evaluator is None:
            return best, None
        rest = self.reporter.part(0.9, 1.0)
        rest.report(0.0, "Measuring the finished plan")
        original, part = self.ground.original, rest.part(0.0, 0.3)
        whole = Evaluator(original, self.model, self.test, limit=MOST_MEASURED, reporter=part)
        self._tell_skipped(whole)
        found = whole.measure(self.search.workshop.encodings(best.steps), rest)
        first = best.nbytes
        for factor in () if self._met(best, found) else CONFIRMED:
            other = self._better(best, int(factor * first))
            if other is None:
                continue
            best, found = other, whole.measure(self.search.workshop.encodings(other.steps), rest)
            if self._met(best, found):
                break
        self._predict(best, whole, rest)
        return best, found

    def _better(self, plan: Trial, nbytes: int) -> Trial | None:
        """The most accurate of the larger plans within `nbytes` that keep the quality where plans are compared.

        None when none is more accurate than the plan, or when no quality is wished.
        """
        if all(budget.goal.is_cost for budget in self.budgets) or nbytes > self.costs.size:
            return None
        corrected = self.search.corrections
        for factors in (corrected, np.ones_like(corrected)):  # they were learned within smaller plans, and may mislead
            self.search.corrections = factors
            with suppress(Unreachable):
                self.search.measured(self.search.fitted(nbytes))
        self.search.corrections = corrected
        known = [t for t in self.search.trials.values() if plan.nbytes < t.nbytes <= nbytes and self.smallest.fine(t)]
        best = min(known, key=lambda t: t.error, default=plan)
        return best if best.error < plan.error else None

    def _predict(self, best: Trial, whole: Evaluator, reporter: Reporter) -> None:
        """Predict the finished plan on the samples that it is measured on, from another plan measured on these.

        Single samples whose answer flips carry most of the error, so two sets of samples can be decibels apart.
        """
        other = self.search.alike(best)
        if other is None or self.test is self.checked:
            return
        found = whole.measure(self.search.workshop.encodings(other.steps), reporter)
        expected = noise = self.search.sum_of(best.options) / max(self.search.sum_of(other.options), 1e-300)
        if best.measured is not None and other.measured is not None and 0.0 < best.error < math.inf:
            expected = best.error / max(other.error, 1e-300)  # as they compare where plans were compared
            noise = best.measured.error(Measure.SQUARED) / max(other.measured.error(Measure.SQUARED), 1e-300)
        self.predicted = expected * found.error(self.measure), noise * found.error(Measure.SQUARED)

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
            notes.append(self._measured_on(measured.samples, final))
        else:
            notes.append("Nothing was measured: errors are predicted.")
        if best.learned:
            notes.append("Rounding learned from samples (error feedback), at the same bytes.")
        base = SizeModel(self.model, list_savings=False).base if final else search.workshop.file_bytes({})
        if final and base < self.model.file_bytes and self.model is self.ground.original:  # no channels were cut
            notes.append(f"Cleaning up alone takes {size_text(self.model.file_bytes - base)} off the file.")
        error = search.predicted_error(best) if best.measured else best.predicted
        sqnr = search.predicted_sqnr(search.sum_of(best.options), best)
        if final and self.predicted is not None:
            error, noise = self.predicted
            sqnr = -10.0 * math.log10(noise) if 0.0 < noise < math.inf else sqnr
        return Plan(
            recipe=self.found.recipe(best.steps), budget=self.budget, met=self._met(best, measured),
            bytes_before=self.ground.original.file_bytes, bytes_predicted=best.nbytes, measure=self.measure,
            error_predicted=error, sqnr_predicted_db=sqnr, measured=measured,
            layers=planned_layers(self.found, best.options, errors), front=self.costs.points.front(),
            uniform=self.costs.points.uniform(),
            binding=binding_layers(self.found, best.options, errors), notes=tuple(dict.fromkeys(notes)),
            evaluations=search.measurements, seconds=time.monotonic() - self.started, candidates=self.found,
            options=tuple(int(option) for option in best.options), **run,
        )  # fmt: skip

    def _measured_on(self, count: int, final: bool) -> str:
        """On how many samples, and what else was done with them."""
        told = f"Measured on {count:,} sample{'' if count == 1 else 's'}"
        if self.shared:
            return f"{told}, which steps may have learned from as well: there is no other."
        apart = "plans were compared on" if self.test is not self.checked and final else "steps learned from"
        return f"{told}, none of those that {apart}."

    def _run_figures(self, best: Trial, final: bool) -> dict[str, Any]:
        """What a run of the plan takes, predicted, and of the finished one measured."""
        count = self.found.cost_of(best.options, Goal.MULTIPLY_ADDS)
        timed = self.costs.timed
        measured = final and any(budget.goal is Goal.LATENCY for budget in self.budgets) and timed.able
        return {
            "also": self.also, "latency_before_ms": self.ground.milliseconds,
            "latency_predicted_ms": self.found.cost_of(best.options, Goal.LATENCY),
            "latency": timed.of(best, self.reporter.part(1.0, 1.0)) if measured else timed.known(best),
            "multiply_adds_before": self.ground.multiply_adds,
            "multiply_adds_after": None if count is None else round(count),
        }  # fmt: skip

    def _met(self, best: Trial, measured: Measured | None) -> bool:
        """Whether all budgets are kept, as far as was measured."""
        if not self.costs.costs_met(best):
            return False
        wanted = [budget for budget in self.budgets if not budget.goal.is_cost]
        if measured is None:
            return not wanted or not any(best.steps.values())
        return all(kept(budget, measured, best.error) for budget in wanted)
