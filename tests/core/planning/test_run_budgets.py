"""Plans for times and multiply-adds, and for two budgets; no clock is read: what files take is made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.analysis.latency import LatencyComparison, Timing
from core.analysis.sensitivity.cells import Cell, Sensitivity
from core.data import Samples
from core.errors import FeatherweightError
from core.model.model import Model
from core.planning.budgets import Budget, Goal, size_budget
from core.planning.candidates import Candidates
from core.planning.knapsack import Unreachable
from core.planning.latency_check import Ground, LatencyCheck
from core.planning.limits import choose_within, limits_of
from core.planning.plan import Plan
from core.planning.planner import Wish, make_plan
from core.planning.search import Trial

BEFORE = 10.0
COUNT = 1_000
Both = tuple[Samples, Samples]


@pytest.fixture
def timed(found: Candidates) -> Candidates:
    """Each setting takes the time and the multiply-adds that its error lets expect: fewer bits run faster."""
    cells = tuple(tuple(_timed(cell, of[0]) for cell in of) for of in found.cells)
    return replace(found, cells=cells, fixed={Goal.LATENCY: 1.0, Goal.MULTIPLY_ADDS: 100.0})


def _timed(cell: Cell, own: Cell) -> Cell:
    share = cell.bytes / own.bytes
    return replace(cell, milliseconds=3.0 * share, multiply_adds=round(300 * share))


@pytest.fixture
def ground(model: Model) -> Ground:
    return Ground(model, ({"x": np.zeros((1, 48), np.float32)},), BEFORE, COUNT)


@pytest.fixture
def files_take(monkeypatch: pytest.MonkeyPatch, timed: Candidates) -> Callable[[float], list[Trial]]:
    """files_take(factor): a plan's file takes so many times what is predicted; returns the plans that were timed."""

    def made(factor: float) -> list[Trial]:
        built: list[Trial] = []

        def of(self: LatencyCheck, plan: Trial, reporter: Any = None) -> LatencyComparison:
            if plan.key not in self._known:
                built.append(plan)
                took = factor * (timed.cost_of(plan.options, Goal.LATENCY) or 0.0)
                timings = [Timing(ms, ms, ms, 5, 1.0) for ms in (BEFORE, took)]
                self._known[plan.key] = LatencyComparison(timings[0], timings[1], 1, 5)
            return self._known[plan.key]

        monkeypatch.setattr(LatencyCheck, "of", of)
        return built

    return made


def planned(
    model: Model, table: Sensitivity, found: Candidates, samples: Both, ground: Ground, *budgets: Budget, most: int = 10
) -> Plan:
    wish = Wish(budgets[0], most, also=budgets[1] if len(budgets) > 1 else None)
    return make_plan(model, table, found, wish, calibration=samples[0], test=samples[1], ground=ground)


def test_a_time_is_kept_by_what_was_measured(model, table, timed, samples, ground, files_take) -> None:
    built = files_take(1.0)
    plan = planned(model, table, timed, samples, ground, Budget(Goal.LATENCY, 5.0))
    assert plan.met
    assert plan.latency is not None
    assert plan.latency_before_ms == BEFORE
    assert plan.latency_predicted_ms == pytest.approx(plan.latency.after.median_ms)
    assert plan.latency_predicted_ms <= 5.0
    assert built
    assert [point.milliseconds for point in plan.front] == sorted(point.milliseconds for point in plan.front)


def test_predictions_that_are_off_move_the_limit(model, table, timed, samples, ground, files_take) -> None:
    files_take(1.4)
    plan = planned(model, table, timed, samples, ground, Budget(Goal.LATENCY, 5.0))
    assert plan.met
    assert plan.latency.after.median_ms <= 5.0
    assert plan.latency_predicted_ms <= 5.0 / 1.4
    files_take(0.6)
    eager = planned(model, table, timed, samples, ground, Budget(Goal.LATENCY, 3.0))
    assert eager.latency_predicted_ms > 3.0  # more accurate than what was predicted to be within the budget
    assert eager.latency.after.median_ms <= 3.0


def test_a_time_that_cannot_be_reached_says_the_least_and_what_it_costs(
    model, table, timed, samples, ground, files_take
) -> None:
    files_take(1.0)
    with pytest.raises(Unreachable) as caught:
        planned(model, table, timed, samples, ground, Budget(Goal.LATENCY, 1.1))
    text = str(caught.value)
    assert "at most 1.10 ms a run" in text
    assert f"{caught.value.cost:.2f} ms a run" in text
    assert "dB" in text
    assert planned(model, table, timed, samples, ground, Budget(Goal.LATENCY, caught.value.cost)).met


def test_a_time_that_is_met_changes_nothing(model, table, timed, samples, ground, files_take) -> None:
    files_take(1.0)
    plan = planned(model, table, timed, samples, ground, Budget(Goal.LATENCY, 12.0))
    assert plan.met
    assert plan.recipe.does_nothing
    assert any("met already" in note for note in plan.notes)


def test_multiply_adds_are_kept_without_timing(model, table, timed, samples, ground, files_take) -> None:
    built = files_take(1.0)
    plan = planned(model, table, timed, samples, ground, Budget(Goal.MULTIPLY_ADDS, 600))
    assert plan.met
    assert plan.multiply_adds_before == COUNT
    assert plan.multiply_adds_after <= 600
    assert not built
    assert plan.latency is None


def test_two_budgets_hold_together(model, table, timed, samples, ground, files_take) -> None:
    files_take(1.0)
    size, latency = size_budget("45%", model.file_bytes), Budget(Goal.LATENCY, 4.5)
    plan = planned(model, table, timed, samples, ground, size, latency)
    assert plan.met
    assert plan.bytes_predicted <= size.value
    assert plan.latency.after.median_ms <= 4.5
    assert plan.to_dict()["also"]["goal"] == "latency"
    alone = planned(model, table, timed, samples, ground, size)
    assert alone.error_measured <= plan.error_measured * 1.05


def test_a_size_and_a_quality_hold_together_or_say_why_not(model, table, timed, samples, ground) -> None:
    quality = Budget(Goal.SQNR, 25.0)
    plan = planned(model, table, timed, samples, ground, quality, size_budget("60%", model.file_bytes), most=20)
    assert plan.met
    assert plan.measured.sqnr_db >= 25.0
    with pytest.raises(Unreachable, match="smallest file that keeps the quality is"):
        planned(model, table, timed, samples, ground, quality, size_budget("9%", model.file_bytes), most=20)


def test_a_quality_within_a_time(model, table, timed, samples, ground, files_take) -> None:
    files_take(1.0)
    plan = planned(
        model, table, timed, samples, ground, Budget(Goal.SQNR, 20.0), Budget(Goal.LATENCY, 5.0), most=20
    )
    assert plan.met
    assert plan.measured.sqnr_db >= 20.0
    assert plan.latency_predicted_ms <= 5.0
    with pytest.raises(FeatherweightError, match=r"80 dB and at most 5\.00 ms"):
        planned(model, table, timed, samples, ground, Budget(Goal.SQNR, 80.0), Budget(Goal.LATENCY, 5.0), most=20)


def test_a_setting_whose_time_is_not_known_is_never_taken(timed: Candidates) -> None:
    cells = tuple((of[0], *(replace(cell, milliseconds=None) for cell in of[1:])) for of in timed.cells)
    found = replace(timed, cells=cells)
    limits = limits_of(found, [Budget(Goal.LATENCY, BEFORE)])
    chosen = choose_within(found.points, np.inf, limits)
    assert not chosen.options.any()
    with pytest.raises(Unreachable):
        choose_within(found.points, np.inf, limits_of(found, [Budget(Goal.LATENCY, 5.0)]))


def test_the_first_plan_is_told_from_predictions(model, table, timed, samples, ground, files_take) -> None:
    built = files_take(1.0)
    told: list[tuple[Plan, int]] = []
    make_plan(
        model, table, timed, Wish(Budget(Goal.LATENCY, 5.0), 4), calibration=samples[0], test=samples[1], ground=ground,
        on_best=lambda plan: told.append((plan, len(built))),
    )  # fmt: skip
    first, timed_by_then = told[0]
    assert timed_by_then == 0
    assert first.measured is None
    assert len(first.front) > 3
    assert first.latency_predicted_ms <= 5.0
