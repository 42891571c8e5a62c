"""The plan of a session: predicted first, filled in, taken undoably, walked along, out of date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from core.errors import FeatherweightError
from core.planning.knapsack import Unreachable
from core.planning.plan import Plan
from core.recipe import Step
from gui.planning.wish import Wish
from gui.session import Session

PATIENCE_MS = 120_000
Planned = tuple[Path, Path, Plan]
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def ready(session: Session, opened: Opened, planned: Planned) -> Session:
    """A session with the planned model open, and what it says."""
    return opened(session, planned[0])


def heard(signal: Any) -> list[Any]:
    found: list[Any] = []
    signal.connect(lambda *values: found.append(values))
    return found


def test_the_spec_says_what_was_asked(ready: Session, planner: Any) -> None:
    ready.set_steps(("b.weight",), (Step.make("float16"),))
    ready.plans.start(Wish("size", "20%", (("drop", "1"),), ("Quantization",), None, ("b.weight",)))
    spec = planner.specs[-1]
    assert (spec.goal, spec.limit, spec.also, spec.families) == ("size", "20%", (("drop", "1"),), ("Quantization",))
    assert spec.pinned == ("b.weight",) and "float16" in spec.recipe_text
    assert spec.minutes > 600 and spec.data_path is None


def test_a_finished_plan_is_taken_and_can_be_undone(ready: Session, planner: Any, planned: Planned) -> None:
    plan, said = planned[2], heard(ready.said)
    ready.plans.start(Wish("size", "20%"))
    assert ready.plans.running and ready.plans.plan is None
    planner.tell(replace(plan, measured=None))
    assert ready.recipe is not None and ready.recipe.does_nothing  # what is told on the way changes nothing
    planner.end("done", plan)
    assert ready.recipe == plan.recipe and ready.plans.final
    assert ready.plans.chosen == ready.plans.own
    assert "dB predicted" in said[-1][0] and "dB measured on" in said[-1][0] and "the budget is met" in said[-1][0]
    assert ready.predicted_bytes == plan.bytes_predicted  # its own figure, before any preview
    ready.undo_stack.undo()
    assert ready.recipe.does_nothing and ready.plans.chosen is None
    ready.undo_stack.redo()
    assert ready.recipe == plan.recipe and ready.plans.chosen == ready.plans.own


def test_the_message_says_when_the_budget_is_not_met(ready: Session, planner: Any, planned: Planned) -> None:
    warned = heard(ready.warned)
    ready.plans.start(Wish("drop", "0"))
    planner.end("done", replace(planned[2], met=False))
    assert "is not met" in warned[-1][0]


def test_steps_edited_meanwhile_are_kept(ready: Session, planner: Any, planned: Planned) -> None:
    advised = heard(ready.plans.advised)
    ready.plans.start(Wish("size", "20%"))
    ready.set_steps(("a.weight",), (Step.make("float16"),))
    mine = ready.recipe
    planner.end("done", planned[2])
    assert ready.recipe == mine
    text, actions = advised[-1]
    assert "edited" in text
    actions[0][1]()
    assert ready.recipe == planned[2].recipe


def test_a_drag_is_one_edit_and_brings_its_own_figures(qtbot: QtBot, ready: Session, planner: Any,
                                                       planned: Planned) -> None:
    plan = planned[2]
    ready.plans.start(Wish("size", "20%"))
    planner.end("done", plan)
    before = ready.undo_stack.count()
    places = range(len(plan.front))[:4]
    for place in places:
        ready.plans.choose(place, dragging=True)
        assert ready.predicted_bytes == plan.front[place].bytes
        assert ready.recipe == plan.recipe_of(plan.front[place])
    assert ready.plans.dragging and not ready.running("previews")
    ready.plans.finish_drag()
    assert ready.undo_stack.count() == before + 1
    qtbot.waitUntil(lambda: not ready.plans.dragging and not ready.tasks.busy and not ready.plans.foretold_bytes(
        "b.weight"), timeout=PATIENCE_MS)
    assert ready.predicted_bytes is not None
    assert abs(ready.predicted_bytes - plan.front[places[-1]].bytes) <= 0.01 * plan.bytes_before
    ready.undo_stack.undo()
    assert ready.recipe == plan.recipe


def test_measured_points_keep_what_was_chosen(ready: Session, planner: Any, planned: Planned) -> None:
    plan = planned[2]
    ready.plans.start(Wish("size", "20%"))
    planner.tell(replace(plan, front=plan.front[1:]))
    ready.plans.choose(1)
    point = ready.plans.points[1]
    planner.tell(plan)
    chosen = ready.plans.chosen
    assert chosen is not None and ready.plans.points[chosen].options == point.options


def test_cancel_keeps_the_best_so_far(qtbot: QtBot, ready: Session, planner: Any, planned: Planned) -> None:
    said = heard(ready.said)
    ready.plans.start(Wish("size", "20%"))
    planner.tell(planned[2])
    ready.plans.cancel()
    qtbot.waitUntil(lambda: bool(said), timeout=PATIENCE_MS)
    assert ready.recipe == planned[2].recipe and said[-1][0].startswith("Stopped. The best plan so far is kept")


def test_another_plan_drops_the_first_one(qtbot: QtBot, ready: Session, planner: Any, planned: Planned) -> None:
    ready.plans.start(Wish("size", "20%"))
    late = dict(planner.answers)
    ready.plans.start(Wish("size", "30%"))
    late["done"](planned[2])
    assert ready.plans.plan is None and ready.recipe is not None and ready.recipe.does_nothing


def test_closing_the_model_forgets_the_plan(ready: Session, planner: Any, planned: Planned) -> None:
    ready.plans.start(Wish("size", "20%"))
    planner.tell(planned[2])
    ready.close_model()
    assert ready.plans.plan is None and not ready.plans.points and ready.plans.wish is None


def test_a_size_that_cannot_be_reached_offers_the_smallest(ready: Session, planner: Any) -> None:
    advised = heard(ready.plans.advised)
    ready.plans.start(Wish("size", "1%"))
    planner.end("failed", Unreachable("no plan has at most 0.6 kB: the smallest file is 3.1 kB", 3100.4, 0.5))
    text, actions = advised[-1]
    assert "smallest file is 3.1 kB" in text and actions[0][0] == "Plan for the smallest"
    actions[0][1]()
    assert planner.specs[-1].limit == "3101 B"


def test_a_failure_leaves_the_plan_of_the_budget_before(ready: Session, planner: Any, planned: Planned) -> None:
    plan, plans = planned[2], ready.plans
    plans.start(Wish("size", "20%"))
    planner.end("done", plan)
    plans.start(Wish("size", "1%"))
    planner.tell(replace(plan, measured=None))  # predictions of another budget do not take its place
    planner.tell(replace(plan, met=False))
    assert plans.plan is plan
    planner.end("failed", Unreachable("no plan has at most 0.6 kB", 3100.4, 0.5))
    assert plans.plan is plan and plans.final and plans.trouble is not None
    assert plans.measured is plan.measured and plans.chosen == plans.own


def test_other_errors_go_to_the_message_bar(ready: Session, planner: Any) -> None:
    failed = heard(ready.failed)
    ready.plans.start(Wish("sqnr", "30"))
    planner.end("failed", FeatherweightError("samples are missing"))
    assert str(failed[-1][0]) == "samples are missing." and ready.plans.trouble is failed[-1][0]
    assert ready.plans.smallest is None


def test_a_plan_goes_out_of_date(ready: Session, planner: Any, planned: Planned) -> None:
    ready.plans.start(Wish("size", "20%"))
    planner.end("done", planned[2])
    assert ready.plans.outdated == "" and ready.plans.measured is not None
    ready.dataChanged.emit()
    assert "data changed" in ready.plans.outdated and ready.plans.measured is None


def test_relaxing_a_layer_takes_its_better_setting(ready: Session, planner: Any, planned: Planned) -> None:
    plan = planned[2]
    ready.plans.start(Wish("size", "20%"))
    planner.end("done", plan)
    binding = plan.binding[0]
    before = ready.steps(binding.layer)
    ready.plans.relax(binding)
    words = ", ".join(step.label() for step in ready.steps(binding.layer)) or "as it is"
    assert words == binding.better and ready.steps(binding.layer) != before
    ready.undo_stack.undo()
    assert ready.steps(binding.layer) == before


def test_the_worker_makes_a_plan(qtbot: QtBot, ready: Session) -> None:
    ready.plans.start(Wish("size", "30%", families=("Quantization",), minutes=1.0))
    qtbot.waitUntil(lambda: ready.plans.final and not ready.plans.running, timeout=PATIENCE_MS)
    plan = ready.plans.plan
    assert plan is not None and plan.met and ready.recipe == plan.recipe
    assert plan.bytes_predicted <= 0.3 * plan.bytes_before


def test_a_plans_figures_stay_while_samples_are_run(ready: Session, planner: Any, planned: Planned,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    plan, running = planned[2], ready.running
    monkeypatch.setattr(ready, "running", lambda key: key == "measure" or running(key))
    ready.plans.start(Wish("size", "20%"))
    planner.end("done", plan)
    ready._derived._start_previews()
    ready._derived._prepared()
    assert not running("previews")
    assert ready.predicted_bytes == plan.bytes_predicted and not ready.waits_for_samples("b.weight")
    assert ready.plans.foretold_bytes("b.weight") is not None
