"""Whole plans under trial: chosen by predicted errors, measured, and the predictions corrected by what was measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from core.analysis.hulls import Array, Points, hull
from core.analysis.sensitivity.cells import Measure, Setting
from core.figures import size_text
from core.planning.candidates import Candidates, refined
from core.planning.evaluation import Evaluator, Measured
from core.planning.knapsack import Unreachable, choose
from core.planning.limits import Limit, choose_within
from core.planning.workshop import Workshop
from core.progress import Reporter

CLOSE = 0.002  # of the budget: a plan this near below it is not fitted again
FITS = 5
POWERS = (0.75, 1.35)
"""Errors to these powers give other plans to try: sums of single errors count some layers for too much, others for too
little, and how they add up differs from model to model."""
FILLS = 4
"""Plans that are measured at most to spend the bytes that are left."""
PROBES = 6
"""Layers whose error is measured within the plan before the plan is chosen anew."""
MOST_CORRECTED = 8.0
IDLE, WORTH = 2, 0.97
"""The search ends when so many corrected plans in turn lowered the error by less than 3 %."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A whole plan that was carried out.

    options    each layer's option
    learned    whether its steps learned from samples (`candidates.refined`)
    steps      each layer's steps, as they were carried out
    nbytes     of the file, predicted from the encodings themselves
    predicted  sum of the layers' errors as they were known then
    measured   None without samples
    """

    options: Array
    learned: bool
    steps: dict[str, Setting] = field(repr=False)
    nbytes: int
    predicted: float
    measured: Measured | None = None
    error: float = math.inf

    @property
    def key(self) -> tuple[bytes, bool]:
        return self.options.tobytes(), self.learned


class Search:
    """Tries whole plans. It ends when `most` plans were measured or the time is over; then `out` is true.

    evaluator  measures plans; None without samples: then plans are judged by their predicted error
    on_best    is told of every plan that is the best so far of its kind
    until      time.monotonic() at which to end
    limits     on milliseconds or multiply-adds, within which all plans are chosen
    """

    def __init__(
        self,
        found: Candidates,
        workshop: Workshop,
        evaluator: Evaluator | None,
        measure: str,
        reporter: Reporter,
        *,
        most: int,
        until: float,
        limits: tuple[Limit, ...] = (),
    ) -> None:
        self.found, self.workshop, self.evaluator, self.limits = found, workshop, evaluator, limits
        self.measure, self.reporter = measure, reporter
        self.most, self.until = most, until
        self.corrections = np.ones(len(found.cells))
        self.trials: dict[tuple[bytes, bool], Trial] = {}
        self.learn = False
        self.measurements = 0
        self.fixed = workshop.file_bytes({}) - sum(found.bytes_before[name] for name in found.names)
        """Bytes of the file that no layer of the plan takes."""

    @property
    def out(self) -> bool:
        """Whether no more plans should be measured."""
        return self.evaluator is None or self.measurements >= self.most or time.monotonic() > self.until

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.until

    @property
    def points(self) -> list[Points]:
        """Bytes and errors of each layer's options, as corrected by now."""
        return [
            Points(points.costs, points.errors * factor)
            for points, factor in zip(self.found.points, self.corrections, strict=True)
        ]

    def sum_of(self, options: Array) -> float:
        """Predicted error of a plan: the sum of its layers' errors."""
        added = sum(points.errors[option] for points, option in zip(self.points, options, strict=True))
        return self.found.shared + float(added)

    def plain_sum(self, options: Array) -> float:
        """The sum of a plan's single errors as they were before any plan was measured.

        Corrections are learned within one plan and hold near it; over the whole range this sum orders plans better.
        """
        added = sum(points.errors[option] for points, option in zip(self.found.points, options, strict=True))
        return self.found.shared + float(added)

    def holds(self, options: Array) -> bool:
        """Whether a plan is predicted to be within all limits."""
        return all(limit.holds(options) for limit in self.limits)

    def fitted(self, budget: float, power: float = 1.0) -> Trial:
        """The best plan by prediction whose file takes no more than `budget` bytes, carried out but not measured.

        budget  inf: any number, within the limits

        Raises Unreachable with the bytes of the smallest file, and its predicted error; or, when it is a limit that no
        plan holds, as `choose_within` does.
        """
        points = [Points(p.costs, p.errors**power) for p in self.points]
        if self.limits and math.isinf(budget):
            return self.carried_out(choose_within(points, math.inf, self.limits).options)
        room, best = float(budget - self.fixed), None
        for _ in range(FITS):
            trial = self.carried_out(self._chosen(points, room, best))
            if trial.nbytes <= budget and (best is None or trial.predicted < best.predicted):
                best = trial
            left = budget - trial.nbytes
            if 0 <= left <= CLOSE * budget or (best is not None and left > 0 and trial is not best):
                break
            room += left if left < 0 else 0.9 * left
        if best is None:
            smallest = self.carried_out(self._chosen(points, self.found.smallest, None))
            if smallest.nbytes > budget:
                raise Unreachable("no plan is that small", smallest.nbytes, smallest.predicted)
            best = smallest
        return best

    def _chosen(self, points: Sequence[Points], room: float, best: Trial | None) -> Array:
        try:
            return choose_within(points, room, self.limits).options
        except Unreachable as error:
            if best is not None:
                return best.options
            if self.limits:
                raise
            if room < self.found.smallest * (1 - 0.02):  # beyond what constants that layers share can save
                smallest = self.carried_out(choose(points, error.cost).options)
                raise Unreachable("no plan is that small", smallest.nbytes, self.sum_of(smallest.options)) from None
            return choose(points, error.cost).options

    def carried_out(self, options: Array, learned: bool | None = None) -> Trial:
        """The plan with its layers compressed, so that its bytes are exact."""
        learn = self.learn if learned is None else learned
        known = self.trials.get((options.tobytes(), learn))
        if known is not None:
            return known
        steps = self.found.steps(options)
        if learn:
            better = {name: refined(setting) for name, setting in steps.items() if name not in self.found.pinned}
            self.workshop.encodings(better, self.reporter.part(0.0, 0.0))
            steps |= {name: s for name, s in better.items() if not self.workshop.refused(name, s)}
        self.workshop.encodings(steps, self.reporter.part(0.0, 0.0))
        return Trial(options, learn, steps, self.workshop.file_bytes(steps), self.sum_of(options))

    def measured(self, trial: Trial) -> Trial:
        """The plan measured (once); without samples, judged by its prediction."""
        known = self.trials.get(trial.key)
        if known is not None:
            return known
        if self.evaluator is None:
            done = replace(trial, error=trial.predicted)
        else:
            encodings = self.workshop.encodings(trial.steps, self.reporter.part(0.0, 0.0))
            result = self.evaluator.measure(encodings, self.reporter.part(0.0, 0.0))
            self.measurements += 1
            done = replace(trial, measured=result, error=result.error(self.measure))
        self.trials[done.key] = done
        text = f"plan {self.measurements} of up to {self.most}: {size_text(done.nbytes)}"
        if done.measured is not None and math.isfinite(done.measured.sqnr_db):
            text += f", {done.measured.sqnr_db:.1f} dB"
        self.reporter.report(min(1.0, self.measurements / max(1, self.most)), text)
        return done

    def improved(self, best: Trial, budget: float, on_best: Callable[[Trial], None]) -> Trial:
        """The best of further plans within `budget` bytes: what samples teach, other ways to add up, corrections."""
        tries: list[Callable[[], Trial]] = []
        if self.carried_out(best.options, True).steps != best.steps:
            tries.append(lambda: self.carried_out(best.options, True))
        tries += [lambda power=power: self.fitted(budget, power) for power in POWERS]  # type: ignore[misc]
        for make in tries:
            if self.out:
                return best
            try:
                trial = self.measured(make())
            except Unreachable:  # limits were moved since `best` was chosen
                continue
            if trial.nbytes <= budget and self.holds(trial.options) and trial.error < best.error:
                self.learn = self.learn or trial.learned
                best = trial
                on_best(best)
        idle = 0
        while idle < IDLE and not self.out:
            if not self.correct(best) or self.out:
                break
            try:
                trial = self.measured(self.fitted(budget))  # known already: then the next layers are looked at
            except Unreachable:
                break
            idle += 1
            if trial.error < best.error:
                idle = 0 if trial.error < WORTH * best.error else idle
                best = trial
                on_best(best)
        return best

    def filled(self, best: Trial, budget: float, on_best: Callable[[Trial], None]) -> Trial:
        """The plan with the bytes that are left spent on the moves that gain most for each byte, when that is better.

        First the best of all that was measured and fits; then moves by the errors as corrected, all that fit measured
        together, and fewer of them where that does not help.
        """
        if not math.isfinite(budget):
            return best
        fitting = [t for t in self.trials.values() if t.nbytes <= budget and self.holds(t.options)]
        start, best = best, min(fitting, key=lambda t: t.error, default=best)
        most: int | None = None
        for _ in range(FILLS):
            moves = _moves(self.points, best.options, budget - best.nbytes)[:most]
            if self.out or not moves:
                break
            options = best.options.copy()
            for layer, option in moves:
                options[layer] = option
            trial = self.carried_out(options, best.learned)
            known = trial.key in self.trials
            if trial.nbytes <= budget and self.holds(options) and self.measured(trial).error < best.error:
                best, most = self.measured(trial), None
            else:
                most = len(moves) // 2 if not known else len(moves) - 1
                if most == 0:
                    break
        if best is not start:
            on_best(best)
        return best

    def correct(self, plan: Trial) -> bool:
        """Measure, within the plan, what the layers that should matter most really add; true when anything was learned.

        Each is given the next better setting of its hull and the whole plan is measured. What the plan's error then
        falls by, against what it should fall by, corrects the layer's errors; all is relative to how far the plan's
        own error is from its prediction, as only the proportions between layers decide.
        """
        points = self.points
        predicted = self.sum_of(plan.options)
        if not predicted > 0.0 or not math.isfinite(plan.error) or not plan.error > 0.0:
            return False
        scale = plan.error / predicted
        added = np.array([p.errors[o] for p, o in zip(points, plan.options, strict=True)])
        probed = 0
        for layer in np.argsort(-added, kind="stable"):
            if probed == PROBES or self.out:
                break
            better = _next_better(points[layer], int(plan.options[layer]))
            if better is None or not added[layer] > 0.0:
                continue
            options = plan.options.copy()
            options[layer] = better
            trial = self.carried_out(options, plan.learned)
            if trial.key in self.trials:
                continue
            expected = scale * float(added[layer] - points[layer].errors[better])
            gained = plan.error - self.measured(trial).error
            factor = min(max(gained / expected, 1.0 / MOST_CORRECTED), MOST_CORRECTED)
            self.corrections[layer] *= factor
            probed += 1
        return probed > 0

    def predicted_error(self, plan: Trial) -> float:
        """The plan's error as predicted from the others that were measured: its sum times what theirs were off by."""
        total = self.sum_of(plan.options)
        return total * (self._ratio(total, plan, "error") or 1.0)

    def alike(self, plan: Trial) -> Trial | None:
        """The other measured plan that shares most layers' settings with this one, then nearest in predicted error."""
        total = max(self.sum_of(plan.options), 1e-300)
        known = [t for t in self.trials.values() if t.measured is not None and t.error < math.inf]
        others = [t for t in known if t.key != plan.key]
        away = {t.key: abs(math.log(max(self.sum_of(t.options), 1e-300) / total)) for t in others}
        differing = {t.key: int(np.count_nonzero(t.options != plan.options)) for t in others}
        return min(
            others, key=lambda t: (t.learned != plan.learned, differing[t.key], away[t.key]), default=None
        )  # fmt: skip

    def predicted_sqnr(self, total: float, apart: Trial | None = None) -> float | None:
        """Output SQNR in dB of a plan with this sum of errors; None when nothing says it yet."""
        if total == 0.0:
            return math.inf
        ratio = self._ratio(total, apart, "noise")
        if ratio is None and self.measure == Measure.SQUARED:
            ratio = 1.0  # what the errors say by themselves
        return None if ratio is None or not total * ratio > 0.0 else -10.0 * math.log10(total * ratio)

    def _ratio(self, total: float, apart: Trial | None, of: str) -> float | None:
        """From the two measured plans nearest in predicted error, `apart` left out: their geometric mean."""
        known = []
        for trial in self.trials.values():
            if trial.measured is None or (apart is not None and trial.key == apart.key):
                continue
            real = trial.error if of == "error" else trial.measured.error("squared")
            summed = self.sum_of(trial.options)
            if 0.0 < real < math.inf and 0.0 < summed < math.inf:
                other = apart is not None and trial.learned != apart.learned
                known.append((other, abs(math.log(summed / total)) if total > 0.0 else 0.0, math.log(real / summed)))
        if not known:
            return None
        nearest = sorted(known)[:2]
        return math.exp(sum(entry[2] for entry in nearest) / len(nearest))


def _moves(points: Sequence[Points], options: Array, room: float) -> list[tuple[int, int]]:
    """Moves of single layers (layer, option) that gain most for each byte, one after the other, while they fit."""
    chosen = options.copy()
    moves: list[tuple[int, int]] = []
    while True:
        best, where, to = 0.0, -1, -1
        for layer, p in enumerate(points):
            now = int(chosen[layer])
            extra, gains = p.costs - p.costs[now], p.errors[now] - p.errors
            fits = np.isfinite(p.errors) & (gains > 0.0) & (extra <= room)
            worth = np.where(fits, gains / np.maximum(extra, 1.0), 0.0)
            if worth.max() > best:
                best, where, to = float(worth.max()), layer, int(worth.argmax())
        if where < 0:
            return moves
        room -= max(float(points[where].costs[to] - points[where].costs[chosen[where]]), 0.0)
        chosen[where] = to
        moves.append((where, to))


def _next_better(points: Points, option: int) -> int | None:
    """The next more accurate option on a layer's hull."""
    error, cost = points.errors[option], points.costs[option]
    return next((int(i) for i in hull(points) if points.errors[i] < error and points.costs[i] > cost), None)
