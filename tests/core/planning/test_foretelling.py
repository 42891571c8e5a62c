"""What is told before anything is measured, and the metric of plans that were not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from core.analysis.sensitivity.cells import Sensitivity, Tier
from core.analysis.sensitivity.table import Asked, sensitivity
from core.data import Samples
from core.model.model import Model
from core.planning import foretelling
from core.planning.between import metric_between
from core.planning.budgets import Budget, Goal
from core.planning.candidates import Candidates
from core.planning.evaluation import Measured
from core.planning.plan import Plan, PlanPoint
from core.planning.planner import Wish, make_plan
from core.progress import SILENT
from core.recipe import Recipe

QUARTER = 0.25


def measured(value: float) -> Measured:
    return Measured(10, 20.0, None, "accuracy", value, 0.9)


def test_the_metric_is_interpolated_between_measured_plans_only() -> None:
    known = (PlanPoint(10, 0.1, None, measured(0.8)), PlanPoint(20, 0.001, None, measured(0.88)))
    asked = (*known, PlanPoint(15, 0.01, None, None), PlanPoint(5, 1.0, None, None), PlanPoint(99, 0.0, None, None))
    worse, better, between, beyond, exact = metric_between(asked, known)
    assert (worse, better) == (0.8, 0.88)
    assert between == pytest.approx(0.84)  # halfway in the error's logarithm
    assert math.isnan(beyond)  # nothing is extrapolated
    assert exact == pytest.approx(0.9)  # the original's own


def test_without_measured_plans_no_metric_is_made_up() -> None:
    assert np.isnan(metric_between((PlanPoint(10, 0.1, None, None),), ())).all()


def test_the_front_is_told_before_anything_is_measured(
    model: Model, table: Sensitivity, found: Candidates, samples: tuple[Samples, Samples]
) -> None:
    told: list[Plan] = []
    wish = Wish(Budget(Goal.SIZE, QUARTER * model.file_bytes), evaluations=3)
    plan = make_plan(model, table, found, wish, calibration=samples[0], test=samples[1], on_best=told.append)
    first = told[0]
    assert first.measured is None and not any(point.measured for point in first.front) and len(first.front) > 5
    assert first.bytes_predicted <= 1.02 * wish.budget.value
    assert plan.measured is not None


def test_a_points_recipe_is_the_plans_own(
    model: Model, table: Sensitivity, found: Candidates, samples: tuple[Samples, Samples]
) -> None:
    wish = Wish(Budget(Goal.SIZE, QUARTER * model.file_bytes), evaluations=6)
    plan = make_plan(model, table, found, wish, calibration=samples[0], test=samples[1])
    own = [point for point in plan.front if point.measured is not None and point.options == plan.options]
    assert plan.recipe in [plan.recipe_of(point) for point in own]


def test_a_kept_table_foretells_the_front(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = Wish(Budget(Goal.SIZE, QUARTER * model.file_bytes))
    monkeypatch.setattr("core.analysis.sensitivity.table.cached_sensitivity", lambda *_args, **_named: None)
    assert foretelling.foretold(model, Recipe(), wish, SILENT) is None
    table = sensitivity(model, None, Asked(Tier.FREE), cache=folder)
    monkeypatch.setattr("core.analysis.sensitivity.table.cached_sensitivity", lambda *_args, **_named: table)
    plan = foretelling.foretold(model, Recipe(), wish, SILENT)
    assert plan is not None and plan.measured is None and plan.measure == "weight" and len(plan.front) > 5
