"""The Trade-off lens: honest without a plan, a front to drag along, where bytes come from, what holds a plan back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from core.planning.knapsack import Unreachable
from core.planning.plan import Plan
from gui.lenses.tradeoff import TradeoffLens
from gui.planning.scene import Quality, ring_words
from gui.planning.wish import Wish
from gui.session import Session

PATIENCE_MS = 60_000
Planned = tuple[Path, Path, Plan]
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def lens(qtbot: QtBot, session: Session) -> TradeoffLens:
    lens = TradeoffLens()
    qtbot.addWidget(lens)
    lens.set_session(session)
    lens.resize(640, 900)
    lens.show()
    return lens


@pytest.fixture
def planning(session: Session, opened: Opened, planner: Any, planned: Planned, lens: TradeoffLens) -> Any:
    """The model is open and a plan was asked for."""
    opened(session, planned[0])
    session.plans.start(Wish("size", "20%"))
    return planner


def test_empty_states_say_what_to_do(
    qtbot: QtBot, lens: TradeoffLens, session: Session, opened: Opened, planner: Any, planned: Planned
) -> None:
    assert lens.empty.isVisible() and lens.empty.words().startswith("No model is open.")
    opened(session, planned[0])
    card = lens.plan_card
    assert card.empty.words().startswith("There is no plan yet. Give a budget") and card.plan_button.isVisible()
    assert lens.bytes_card.empty.words().startswith("No layer has steps yet.")
    session.plans.start(Wish("size", "1%"))
    assert "being predicted" in card.empty.words() and not card.plan_button.isVisible()
    planner.end("failed", Unreachable("no plan is that small", 3100.0, 0.5))
    assert card.empty.words().startswith("No plan was found.") and card.smallest_button.isVisible()
    card.smallest_button.click()
    assert planner.specs[-1].limit == "3100 B"


def test_what_the_compressed_file_has_stands_beside_what_was_predicted(planned: Planned) -> None:
    plan = planned[2]
    point = replace(plan.front[0], measured=None)
    sqnr = Quality("sqnr", "Output SQNR", "output SQNR, dB", (28.7,), 0.0)
    metric = replace(sqnr, key="metric", unit="share")
    score = SimpleNamespace(value_text="98.39 %")
    found: Any = SimpleNamespace(output_sqnr_db=14.8, score=score)
    assert ring_words(point, sqnr, 28.7).endswith("28.7 dB predicted")
    assert ring_words(point, sqnr, 28.7, found).endswith("28.7 dB predicted, compressed: 14.8 dB")
    assert ring_words(point, metric, 98.6, found).endswith(", compressed: 98.39 %")
    assert not ring_words(point, replace(sqnr, key="error"), 2.0, found).endswith("dB")


def test_points_are_hollow_until_they_are_measured(planning: Any, lens: TradeoffLens, planned: Planned) -> None:
    plan = planned[2]
    bare = tuple(replace(point, measured=None, sqnr_db=None) for point in plan.front)
    uniform = tuple(replace(point, measured=None, sqnr_db=None) for point in plan.uniform)
    planning.tell(replace(plan, front=bare, uniform=uniform, measured=None))
    scene = lens.plan_card.chart.scene_shown()
    assert scene.marks and not any(mark.measured for mark in scene.marks) and "divergence" in scene.y_label
    assert "predicted so far" in lens.plan_card.caption.plain_text
    planning.end("done", plan)
    scene = lens.plan_card.chart.scene_shown()
    assert any(mark.measured for mark in scene.marks) and any(mark.label for mark in scene.marks)
    assert scene.budget_x == plan.budget.value and scene.ring.startswith("plan: ")
    assert "measured on" in lens.plan_card.caption.plain_text


def test_the_quality_can_be_switched(planning: Any, lens: TradeoffLens, planned: Planned) -> None:
    planning.end("done", planned[2])
    chart = lens.plan_card.chart
    assert chart.scene_shown().ring.endswith("%")
    lens.plan_card.choose("sqnr")
    assert chart.scene_shown().y_label == "output SQNR, dB" and chart.scene_shown().ring.endswith("dB")


def test_dragging_walks_along_the_front(qtbot: QtBot, planning: Any, lens: TradeoffLens, session: Session,
                                        planned: Planned) -> None:
    planning.end("done", planned[2])
    lens.plan_card.choose("sqnr")
    chart = lens.plan_card.chart
    stops, edits = chart.stops_shown(), session.undo_stack.count()
    assert len(stops) > 3
    start, end = (chart.pixel(stops[k]).toPoint() for k in (0, 2))
    qtbot.mousePress(chart.viewport(), Qt.MouseButton.LeftButton, pos=start)
    assert session.plans.chosen == stops[0]
    qtbot.mouseMove(chart.viewport(), end)
    assert session.plans.chosen == stops[2] and session.plans.dragging
    assert session.predicted_bytes == session.plans.points[stops[2]].bytes
    qtbot.mouseRelease(chart.viewport(), Qt.MouseButton.LeftButton, pos=end)
    assert not session.plans.dragging and session.undo_stack.count() == edits + 1


def test_far_from_the_front_nothing_is_changed(qtbot: QtBot, planning: Any, lens: TradeoffLens, session: Session,
                                               planned: Planned) -> None:
    planning.end("done", planned[2])
    recipe = session.recipe
    assert lens.plan_card.chart.nearest(QPointF(-500.0, -500.0)) is None
    qtbot.mouseClick(lens.plan_card.chart.viewport(), Qt.MouseButton.LeftButton, pos=QPointF(2.0, 2.0).toPoint())
    assert session.recipe is recipe


def test_arrow_keys_walk_along_the_front(qtbot: QtBot, planning: Any, lens: TradeoffLens, session: Session,
                                         planned: Planned) -> None:
    planning.end("done", planned[2])
    chart = lens.plan_card.chart
    stops = chart.stops_shown()
    qtbot.keyClick(chart, Qt.Key.Key_Home)
    assert session.plans.chosen == stops[0] and not session.plans.dragging
    qtbot.keyClick(chart, Qt.Key.Key_Right)
    assert session.plans.chosen == stops[1]
    qtbot.keyClick(chart, Qt.Key.Key_End)
    assert session.plans.chosen == stops[-1]


def test_bytes_follow_the_plan_and_select_layers(qtbot: QtBot, planning: Any, lens: TradeoffLens, session: Session,
                                                 planned: Planned) -> None:
    planning.end("done", planned[2])
    bars = lens.bytes_card.bars
    qtbot.waitUntil(lambda: len(bars.bars()) == 3, timeout=PATIENCE_MS)
    assert [bar.name for bar in bars.bars()] == ["b.weight", "a.weight", "c.weight"]  # largest first
    assert all(bar.after < bar.before for bar in bars.bars())
    assert "saves" in lens.bytes_card.caption.plain_text
    assert "\N{RIGHTWARDS ARROW}" in bars.bars()[0].words()
    bars.picked.emit("c.weight")
    assert session.selection == ("c.weight",)


def test_what_holds_the_plan_back_can_be_relaxed(planning: Any, lens: TradeoffLens, session: Session,
                                                 planned: Planned) -> None:
    plan = planned[2]
    planning.end("done", plan)
    before = session.recipe
    assert lens.binding_card.buttons and before is not None
    lens.binding_card.buttons[0].click()
    layer = plan.binding[0].layer
    assert session.steps(layer) != before.steps_for(layer)
    assert lens.plan_card.chart.scene_shown().chosen is None  # an edited plan is none of the points


def test_out_of_date_is_said(planning: Any, lens: TradeoffLens, session: Session, planned: Planned) -> None:
    planning.end("done", planned[2])
    session.dataChanged.emit()
    assert "out of date: the data changed since" in lens.plan_card.caption.plain_text


def test_predictions_that_nobody_has_are_not_drawn() -> None:
    from types import SimpleNamespace as Point

    from gui.lenses.tradeoff import _nothing_foretold
    from gui.planning.scene import METRIC, SQNR, Quality

    points = [Point(measured=object()), Point(measured=None), Point(measured=object())]
    flat, rising = (98.0, 98.0, 98.0), (90.0, 94.0, 98.0)
    assert _nothing_foretold(points, Quality(METRIC, "", "", flat, 0.0))  # type: ignore[arg-type]
    assert not _nothing_foretold(points, Quality(METRIC, "", "", rising, 0.0))  # type: ignore[arg-type]
    assert not _nothing_foretold(points, Quality(SQNR, "", "", flat, 0.0))  # type: ignore[arg-type]
