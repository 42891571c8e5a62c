"""The best plan for a budget: chosen by what single layers cost, then corrected and checked by measuring whole plans.

Samples are kept apart: those that steps and layers' sensitivities come from, those that plans are compared on, and
those that the finished plan is measured on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.analysis.hulls import Array, front
from core.analysis.sensitivity.cells import Measure, Sensitivity, Setting, setting_label
from core.errors import FeatherweightError
from core.exporting.sizes import SizeModel
from core.figures import db_text, size_text
from core.planning.budgets import Budget, Goal
from core.planning.candidates import Candidates
from core.planning.evaluation import Evaluator, Measured
from core.planning.knapsack import Unreachable
from core.planning.plan import Plan, PlanPoint, binding_layers, planned_layers
from core.planning.search import Search, Trial, unreachable
from core.planning.workshop import Workshop
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model

EVALUATIONS = 30
"""Whole plans that are measured at most, besides the finished one."""
MINUTES = 5.0
FRONT_POINTS = 60
UNIFORM_CHECKS = 2
HALVINGS = 8
NEAR = 1.02
"""A smallest file is looked for until the next smaller one that fails is within this ratio."""
SHRINK = (0.96, 0.92, 0.88, 0.84)
CHECK_SECONDS = 2.0
FEWEST, MOST_CHECKED = 16, 256
MOST_MEASURED = 2_000
CONFIRMED = 4


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
) -> Plan:
    """The best plan that was found for the budget.

    table        the sensitivities that `found` was made from
    calibration  samples that steps may learn from
    test         other samples: plans are compared on one half of them and the finished one is measured on the other,
                 on all where there are few; None: the plan is only predicted
    on_best      is told of every plan that is the best so far, before the last one is returned

    A plan for a size is never worse than the best uniform setting of the same size, as far as was measured. Raises
    Unreachable when no plan meets the budget (its sentence says the smallest file and what that costs), Cancelled, and
    DataError or ModelFileError when the model does not run on the samples.
    """
    return _Planning(model, table, found, wish, calibration, test, reporter, on_best, seed).plan()


def _apart(test: Samples | None) -> tuple[Samples | None, Samples | None]:
    """Samples to compare plans on, and others for the finished one; the same where there are few."""
    if test is None or test.n < 2 * FEWEST:
        return test, test
    return test.split(MOST_MEASURED)


class _Planning:
    """One call of `make_plan`."""

    def __init__(
        self, model: Model, table: Sensitivity, found: Candidates, wish: Wish, calibration: Samples | None,
        test: Samples | None, reporter: Reporter, on_best: Callable[[Plan], None] | None, seed: int,
    ) -> None:  # fmt: skip
        self.model, self.found, self.budget = model, found, wish.budget
        self.checked, self.test = _apart(test)
        self.reporter, self.tell, self.started = reporter, on_best, time.monotonic()
        self.measure = table.measure
        self.notes: list[str] = list(table.notes)
        reporter.report(0.0, "Predicting sizes")
        workshop = Workshop(model, SizeModel(model), calibration, seed)
        evaluator = self._evaluator(reporter.part(0.0, 0.1))
        until = self.started + 60.0 * (MINUTES if wish.minutes is None else wish.minutes)
        self.search = Search(
            found, workshop, evaluator, self.measure, reporter.part(0.1, 0.9), most=wish.evaluations, until=until
        )
        self.uniform = self._uniform()
        self.predicted: tuple[float, float] | None = None  # of the finished plan: its error, its noise to signal

    def plan(self) -> Plan:
        """Carry it out."""
        leave = np.zeros(len(self.found.cells), np.int64)
        nothing = self.search.carried_out(leave, learned=False)
        self._foretell(nothing)
        if self.budget.goal is Goal.SIZE:
            if min(nothing.nbytes, self.model.file_bytes) <= self.budget.value:
                self.notes.append(self._already_met(nothing.nbytes))
                return self._finished(nothing, final=True)
            best = self._within(int(self.budget.value))
        else:
            if self.search.evaluator is None:
                raise FeatherweightError(
                    f"{self.budget.text} can only be kept with samples to measure on", do="give samples (--data)"
                )
            best = self._smallest(nothing)
        return self._finished(best, final=True)

    def _foretell(self, nothing: Trial) -> None:
        """Tell what the predictions alone would choose, and their front, before anything is measured."""
        sweep, fixed = front(self.search.points), self.search.fixed
        place = sweep.within(self.budget.value - fixed) if self.budget.goal is Goal.SIZE else -1
        if place < 0:  # a quality is not foretold, nor what cannot be reached: the front alone is
            self._tell_best(nothing)
            return
        options, error = sweep.choice(place), float(sweep.errors[place])
        steps = self.found.steps(options)
        self._tell_best(Trial(options, False, steps, int(sweep.costs[place]) + fixed, error, error=error))

    def _already_met(self, nbytes: int) -> str:
        if nbytes <= self.budget.value < self.model.file_bytes:
            return (
                f"The budget is met already: the file takes {size_text(self.model.file_bytes)}, and "
                f"{size_text(nbytes)} when it is cleaned up on export. The plan changes no layer."
            )
        taken = size_text(self.model.file_bytes)
        return f"The budget is met already: the file takes {taken}. The plan changes no layer."

    # ---- a size

    def _within(self, nbytes: int) -> Trial:
        """The most accurate plan that takes no more than `nbytes`."""
        try:
            best = self.search.measured(self.search.fitted(nbytes))
        except Unreachable as error:
            raise unreachable(error, self.budget.text, self.model.name, self._cost(error)) from None
        self._tell_best(best)
        best = self._against_uniform(best, nbytes)
        return self.search.improved(best, nbytes, self._tell_best)

    def _against_uniform(self, best: Trial, nbytes: int) -> Trial:
        """The plan, or a uniform setting of no more bytes that measures better."""
        fitting = [point for point in self.uniform if point.bytes <= nbytes * 1.02]
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

    def _cost(self, error: Unreachable) -> str:
        """What the smallest file costs, measured where it can be."""
        smallest = self.search.carried_out(front(self.search.points).start)
        if self.search.evaluator is None:
            return ""
        result = self.search.measured(smallest).measured
        if result is None:
            return ""
        return f", at an output SQNR of {db_text(result.sqnr_db)} and {result.metric_text} {result.value_text}"

    # ---- a quality

    def _fine(self, trial: Trial) -> bool:
        """Whether a measured plan keeps the wished quality."""
        if trial.measured is None:
            return False
        if self.budget.goal is Goal.SIZE:
            return False
        if self.budget.goal is Goal.SQNR:
            return trial.measured.sqnr_db >= self.budget.value
        return trial.measured.drop <= self.budget.value + 1e-9 and trial.error < math.inf

    def _smallest(self, nothing: Trial) -> Trial:
        """The smallest plan that keeps the wished quality, by halving the sizes between one that does and one not."""
        search = self.search
        least = search.measured(search.carried_out(front(search.points).start))
        if self._fine(least):
            self.notes.append("Even the smallest plan keeps the budget.")
            return least
        best, low, high = nothing, least.nbytes, nothing.nbytes
        learned = False
        for step in range(HALVINGS):
            if search.out or high <= NEAR * low:
                break
            size = int(self._guess(low, high) if step == 0 else math.sqrt(low * high))
            trial = search.measured(search.fitted(size))
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
        return self._shrunk(best)

    def _guess(self, low: float, high: float) -> float:
        """The size to try first: where the prediction says, if it speaks of what is limited."""
        if self.budget.goal is Goal.SQNR and self.measure == "squared":
            sweep = front(self.search.points)
            k = int(np.searchsorted(-sweep.errors, -(10.0 ** (-self.budget.value / 10.0))))
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
        Evaluator(self.model, self.model, self.checked, limit=2)
        each = (time.perf_counter() - start) / 3  # loading included: a plan is loaded as well
        wanted = CHECK_SECONDS * (2.0 if self.budget.goal is Goal.DROP else 1.0) / max(each, 1e-6)
        limit = int(min(max(wanted, FEWEST), MOST_MEASURED if self.budget.goal is Goal.DROP else MOST_CHECKED))
        return Evaluator(self.model, self.model, self.checked, limit=limit, reporter=reporter)

    def _confirmed(self, best: Trial) -> tuple[Trial, Measured | None]:
        """The finished plan on the samples that no plan was compared on.

        Where a quality is wished and these samples say that it is just missed, the next larger plan that keeps it.
        """
        if self.test is None or self.search.evaluator is None:
            return best, None
        rest = self.reporter.part(0.9, 1.0)
        rest.report(0.0, "Measuring the finished plan")
        whole = Evaluator(self.model, self.model, self.test, limit=MOST_MEASURED, reporter=rest.part(0.0, 0.3))
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
            layers=planned_layers(self.found, best.options, errors), front=self._front(),
            uniform=tuple(self._with_figures(point) for point in self.uniform),
            binding=binding_layers(self.found, best.options, errors), notes=tuple(dict.fromkeys(notes)),
            evaluations=search.measurements, seconds=time.monotonic() - self.started, candidates=self.found,
            options=tuple(int(option) for option in best.options),
        )  # fmt: skip

    def _met(self, best: Trial, measured: Measured | None) -> bool:
        if self.budget.goal is Goal.SIZE:
            return min(best.nbytes, self.model.file_bytes) <= self.budget.value
        if measured is None:
            return not best.steps or not any(best.steps.values())
        if self.budget.goal is Goal.SQNR:
            return measured.sqnr_db >= self.budget.value
        return measured.drop <= self.budget.value + 1e-9

    def _front(self) -> tuple[PlanPoint, ...]:
        """Predicted plans along the front, and every plan that was measured, by size."""
        search = self.search
        sweep = front(search.points)
        points = [
            self._point(int(sweep.costs[k]) + search.fixed, float(sweep.errors[k]), sweep.choice(k))
            for k in sweep.spread(FRONT_POINTS)
        ]
        points += [self._measured_point(trial) for trial in search.trials.values() if trial.measured is not None]
        return tuple(sorted(points, key=lambda point: point.bytes))

    def _point(self, nbytes: int, error: float, options: Array, label: str = "") -> PlanPoint:
        sqnr = self.search.predicted_sqnr(error) if math.isfinite(error) else None
        return PlanPoint(nbytes, error, sqnr, None, label, tuple(int(option) for option in options))

    def _measured_point(self, trial: Trial) -> PlanPoint:
        total = self.search.sum_of(trial.options)
        sqnr = self.search.predicted_sqnr(total, trial) if math.isfinite(total) else None
        learned = tuple(
            layer for layer, (cells, option) in enumerate(zip(self.found.cells, trial.options, strict=True))
            if trial.steps[cells[0].layer] != cells[option].steps
        )  # fmt: skip
        options = tuple(int(option) for option in trial.options)
        return PlanPoint(trial.nbytes, total, sqnr, trial.measured, "", options, learned)

    def _uniform(self) -> tuple[PlanPoint, ...]:
        """One setting for all layers that take it, for each setting that there is."""
        settings = dict.fromkeys(cell.steps for cells in self.found.cells for cell in cells if cell.steps)
        return tuple(self._uniform_point(setting) for setting in settings)

    def _uniform_point(self, setting: Setting) -> PlanPoint:
        options = self.found.uniform(setting)
        costs = sum(int(p.costs[o]) for p, o in zip(self.found.points, options, strict=True))
        return self._point(costs + self.search.fixed, self.search.sum_of(options), options, setting_label(setting))

    def _with_figures(self, point: PlanPoint) -> PlanPoint:
        """The uniform setting with what is known by now: exact bytes and figures where it was measured."""
        options = np.array(point.options, np.int64)
        trial = self.search.trials.get((options.tobytes(), False))
        if trial is None:
            return self._point(point.bytes, self.search.sum_of(options), options, point.label)
        known = self._measured_point(trial)
        return PlanPoint(known.bytes, known.error, known.sqnr_db, known.measured, point.label, point.options)
