"""What measured plans say about predicted ones."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from core.analysis.sensitivity.cells import Sensitivity
from core.data import Samples
from core.exporting.sizes import SizeModel
from core.model.model import Model
from core.planning.budgets import size_budget
from core.planning.candidates import candidates
from core.planning.evaluation import Evaluator, Measured
from core.planning.front_calibration import FrontCalibration, no_better_than_measured
from core.planning.plan import PlanPoint
from core.planning.planner import Wish, make_plan
from core.planning.workshop import Workshop
from core.recipe import Recipe


def test_nothing_measured_leaves_the_sum() -> None:
    curve = FrontCalibration([(0.0, 1.0), (1.0, math.inf)])
    assert not curve.known
    assert curve.error(0.25) == 0.25


def test_between_and_beyond_measured_plans() -> None:
    curve = FrontCalibration([(1e-4, 2e-4), (1e-2, 1e-1)])
    assert curve.error(1e-4) == pytest.approx(2e-4)
    assert curve.error(1e-3) == pytest.approx(math.sqrt(2e-4 * 1e-1))
    assert curve.error(1.0) == pytest.approx(10.0)  # the last ratio holds
    assert curve.error(1e-6) == pytest.approx(2e-6)


def test_contradictions_are_averaged_so_that_the_curve_rises() -> None:
    curve = FrontCalibration([(1e-3, 4e-2), (1e-2, 1e-2), (1e-1, 1e-1), (1e-4, 1e-5)])
    errors = [curve.error(10.0 ** (k / 4)) for k in range(-20, 2)]
    assert all(a < b for a, b in pairwise(errors))
    assert curve.error(math.sqrt(1e-5)) == pytest.approx(2e-2)


def point(nbytes: int, error: float, measured: bool = False) -> PlanPoint:
    sqnr = -10 * math.log10(error)
    found = Measured(4, sqnr, None, "agreement", 1.0) if measured else None
    return PlanPoint(nbytes, error, sqnr, found, error_measured=error if measured else None)


def test_no_predicted_plan_beats_a_larger_measured_one_or_is_beaten_by_a_smaller() -> None:
    predicted = [point(10, 0.5), point(20, 1e-4), point(40, 2e-2), point(50, 1e-3)]
    kept = no_better_than_measured(predicted, [point(30, 1e-2, True)], lambda p: p.bytes)
    assert [p.bytes for p in kept] == [10, 20, 50]
    assert kept[1].error == 1e-2
    assert kept[1].sqnr_db == pytest.approx(20.0)


def test_the_front_of_a_plan_is_honest(model: Model, table: Sensitivity, samples: tuple[Samples, Samples]) -> None:
    calibration, test = samples
    found = candidates(model, table, Recipe())
    plan = make_plan(model, table, found, Wish(size_budget("20%", model.file_bytes), 12), calibration=calibration,
                     test=test)  # fmt: skip
    evaluator, workshop = Evaluator(model, model, test, limit=30), Workshop(model, SizeModel(model), calibration)
    points = [p for p in plan.front if p.measured is None and p.sqnr_db is not None and p.sqnr_db < math.inf]
    off = [
        p.sqnr_db - evaluator.measure(workshop.encodings(found.steps(p.options))).sqnr_db
        for p in points if p.sqnr_db is not None
    ]  # fmt: skip
    assert len(off) > 5
    assert max(off) < 3.0
    ordered = [p.error for p in plan.front if p.measured is None]
    assert ordered == sorted(ordered, reverse=True)
