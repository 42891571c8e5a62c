"""The Trade-off lens: whole plans by size and quality, where the bytes come from, what holds the plan back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QSizePolicy, QStackedLayout, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.charts.empty import EmptyState
from gui.charts.whole_plans import Mark, Scene, better
from gui.layers.rows import short_name
from gui.lenses.base import Lens
from gui.lenses.binding_card import BindingCard
from gui.lenses.bytes_card import BytesCard
from gui.lenses.plan_card import PlanCard
from gui.planning.scene import (
    KEPT,
    METRIC,
    Quality,
    layer_bytes,
    layer_words,
    qualities,
    read_outs,
    ring_words,
    useful_uniform,
)
from gui.session import Session
from gui.units import file_size

if TYPE_CHECKING:
    from core.planning.plan import PlanPoint

_REDRAW_MS = 33
_MARGIN = 12
_ALIKE = 1e-9
_WORTH_SHOWING = 0.005
"""Share of the plan's error below which a layer does not hold it back."""
_LEAST = (310, 225, 226)
"""Heights in pixels below which the charts cannot be read; the page scrolls instead."""


class TradeoffLens(Lens):
    """What a smaller file costs, and which plan to take."""

    key = "tradeoff"
    title = "Trade-off"
    order = 30

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._qualities: tuple[Quality, ...] = ()
        self._marks: tuple[Mark, ...] = ()
        self._own_chosen = False
        self._only_measured = False  # of the metric no prediction is drawn
        self._seen: object = None  # the plan and quality that the marks were made from
        self.empty = EmptyState("curve")
        self.plan_card = PlanCard(self)
        self.bytes_card = BytesCard(self)
        self.binding_card = BindingCard(self)
        self._redraw = QTimer(self, singleShot=True, interval=_REDRAW_MS)
        self._redraw.timeout.connect(self._show_bytes)
        self.page = _page(self.plan_card, self.bytes_card, self.binding_card)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.page)

    def set_session(self, session: Session) -> None:
        self._session = session
        plans = session.plans
        session.modelChanged.connect(self._refresh)
        session.dataChanged.connect(self._refresh)
        session.recipeChanged.connect(self._soon)
        session.previewsChanged.connect(self._soon)
        session.selectionChanged.connect(self._soon)
        plans.changed.connect(self._refresh)
        plans.chosenChanged.connect(self._show_chosen)
        session.resultChanged.connect(self._show_chosen)
        self.plan_card.quality_chosen.connect(self._show_plan)
        self.plan_card.plan_asked.connect(self._ask)
        self.plan_card.smallest_asked.connect(plans.plan_smallest)
        self.plan_card.chart.moved.connect(self._moved)
        self.bytes_card.picked.connect(lambda name: session.select((name,)))
        self.binding_card.picked.connect(lambda name: session.select((name,)))
        self.binding_card.used.connect(plans.relax)
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh()

    def _ask(self) -> None:
        from gui.planning.dialog import ask_budget

        ask_budget(self.window())

    # -- the drag -----------------------------------------------------------------------------------------------------

    def _moved(self, index: int, finished: bool) -> None:
        if self._session is None:
            return
        if finished:
            self._session.plans.finish_drag()
        else:
            self._session.plans.choose(index, dragging=True)

    # -- state to widgets ---------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        session = self._session
        if session is None or not self.isVisible():
            return
        self._stack.setCurrentIndex(0 if session.model is None else 1)
        if session.model is None:
            self.empty.say("No model is open.", "Open an ONNX file, or the sample, to plan what a smaller file costs.")
            return
        self._show_plan()
        self._show_bytes()

    def _show_plan(self) -> None:
        session = self._session
        if session is None or session.model is None or not self.isVisible():
            return
        plan = session.plans.plan
        self.binding_card.setVisible(plan is not None)
        if plan is None:
            self._seen = None
            self._show_no_plan(session)
            return
        self.plan_card.show_chart()
        quality = self._choose_quality()
        if quality is None:
            return
        self.plan_card.caption.set_template(self._caption(session, quality))
        self._show_chosen()
        self._show_binding()

    def _show_no_plan(self, session: Session) -> None:
        plans = session.plans
        if plans.running:
            self.plan_card.show_empty(
                "The first plans are being predicted.",
                "The front appears as soon as each layer's settings are known; measured plans fill in after it.",
            )
        elif plans.trouble is not None:
            self.plan_card.show_empty("No plan was found.", str(plans.trouble), plan=True,
                                      smallest=plans.smallest is not None)
        else:
            self.plan_card.show_empty(
                "Steps are set, but there are no other plans to compare them with." if session.has_steps
                else "There is no plan yet.",
                "Give a budget, and the best plan over all methods is looked for; every point of the chart will be a "
                "whole plan to choose from.", plan=True,
            )

    def _choose_quality(self) -> Quality | None:
        """Make the marks anew when the plan or the chosen quality changed."""
        session = self._session
        plan = session.plans.plan if session is not None else None
        if session is None or plan is None:
            return None
        points = session.plans.points
        if self._seen is None or self._seen[0] is not points:  # type: ignore[index]
            self._qualities = qualities(plan, points)
        found = {quality.key: quality for quality in self._qualities}
        quality = found.get(self.plan_card.key, self._qualities[0])
        self.plan_card.set_qualities({key: q.title for key, q in found.items()}, quality.key)
        if self._seen is None or self._seen[0] is not points or self._seen[1] != quality.key:  # type: ignore[index]
            words = read_outs(plan, points)
            number = len(points) - len(plan.uniform)
            # The same plans in every view: those that the predictions do not rule out, and the plan itself.
            front = {*better([(float(p.bytes), -p.best_error) for p in points[:number]]), session.plans.own}
            uniform = useful_uniform(points, quality)
            alike = {points[i].options + points[i].learned for i in uniform}
            shown = uniform | {i for i in range(number) if points[i].options + points[i].learned not in alike
                               or i == session.plans.own}
            self._only_measured = _nothing_foretold(points, quality)
            if self._only_measured:
                shown = {i for i in shown if points[i].measured is not None}
            self._marks = tuple(
                Mark(float(p.bytes), v if i in shown else math.nan, p.measured is not None, p.label, w, i in front)
                for i, (p, v, w) in enumerate(zip(points, quality.values, words, strict=True))
            )
            self.plan_card.chart.write_y(quality.tick)
            self._seen = (points, quality.key)
        return quality

    def _caption(self, session: Session, quality: Quality) -> str:
        plans = session.plans
        plan = plans.plan
        if plan is None:
            return ""
        measured = next((p.measured for p in plan.front if p.measured is not None), None)
        parts = ["every point is a whole plan \N{MIDDLE DOT} drag along the front to change the plan"]
        if plans.outdated:
            parts = [f"out of date: {plans.outdated} \N{MIDDLE DOT} plan again"]
        elif plans.running:
            parts.append("planning goes on" if measured is not None else "predicted so far; measured plans fill in")
        on = f"measured on {measured.samples:,} samples" if measured is not None else ""
        solid = f", solid: {on}" if on else ""
        if self._only_measured:
            parts.append(f"only plans that were {on} are drawn: all keep the same, which foretells nothing of others")
        else:
            parts.append(f"hollow: predicted{solid}")
        parts.append("squares: one setting for all layers")
        if any(mark.y < quality.low for mark in self._marks):
            parts.append(f"triangles: worse than {quality.text(quality.low)}, off the scale")
        return " \N{MIDDLE DOT} ".join(parts)

    def _show_chosen(self) -> None:
        """Only the ring moves."""
        session = self._session
        if session is None or session.plans.plan is None or not self.isVisible() or self._seen is None:
            return
        plans = session.plans
        quality = next(q for q in self._qualities if q.key == self._seen[1])  # type: ignore[index]
        chosen = plans.chosen
        compressed = session.comparison if session.result_current else None
        ring = "" if chosen is None else ring_words(plans.points[chosen], quality, quality.values[chosen], compressed)
        scene = Scene(self._marks, quality.label, quality.low, chosen, ring)
        self.plan_card.chart.set_scene(self._with_budget(scene, quality))
        own = chosen == plans.own
        if own != self._own_chosen:
            self._own_chosen = own
            self._show_binding()

    def _with_budget(self, scene: Scene, quality: Quality) -> Scene:
        plan = self._session.plans.plan if self._session is not None else None
        if plan is None:
            return scene
        budget = plan.budget
        if budget.goal == "size":
            return replace(scene, budget_x=float(budget.value), budget_words=f"budget {file_size(budget.value)}")
        if budget.goal == "sqnr" and quality.key == "sqnr":
            return replace(scene, budget_y=float(budget.value), budget_words=f"budget {budget.value:g} dB")
        measured = next((p.measured for p in plan.front if p.measured is not None), None)
        if budget.goal == "drop" and quality.unit == "share" and measured is not None:
            kept = 100 * measured.reference - budget.value
            return replace(scene, budget_y=kept, budget_words=f"budget: {budget.text}")
        return scene

    def _show_binding(self) -> None:
        session = self._session
        plan = session.plans.plan if session is not None else None
        if session is None or plan is None:
            return
        titles = {layer.name: short_name(layer) for layer in session.model.layers} if session.model else {}
        binding = [one for one in plan.binding if one.share >= _WORTH_SHOWING]
        if not binding:
            self.binding_card.show_empty("No layer holds this plan back.", "None could do better at more bytes.")
            return
        own = session.plans.chosen == session.plans.own
        words = "share of the predicted error, and what a better setting would take and gain"
        if not own:
            words += " \N{MIDDLE DOT} of the plan for the budget, not of what is chosen now"
        self.binding_card.show_binding(binding, lambda name: titles.get(name, name), words)

    # -- bytes --------------------------------------------------------------------------------------------------------

    def _soon(self, *_names: object) -> None:
        if not self._redraw.isActive():
            self._redraw.start()

    def _show_bytes(self) -> None:
        session = self._session
        if session is None or session.model is None or not self.isVisible():
            return
        layers = layer_bytes(session, short_name)
        if all(layer.role == KEPT and layer.after == layer.before for layer in layers):
            self.bytes_card.show_empty("No layer has steps yet.", "Plan to a budget, or add steps in the inspector.")
        else:
            self.bytes_card.show_layers(layers, session.selection, partial(layer_words, session))


def _nothing_foretold(points: Sequence[PlanPoint], quality: Quality) -> bool:
    """Whether predictions of the metric say nothing: all measured plans have the same, and so would all others."""
    values = [v for p, v in zip(points, quality.values, strict=True) if p.measured is not None and math.isfinite(v)]
    return quality.key == METRIC and bool(values) and max(values) - min(values) < _ALIKE


def _page(*cards: QWidget) -> QScrollArea:
    """Cards below each other, which share the room that there is."""
    content = with_role(QWidget(), "plain")
    column = QVBoxLayout(content)
    column.setContentsMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN)
    column.setSpacing(_MARGIN)
    for card, least, stretch in zip(cards, _LEAST, (4, 3, 0), strict=True):
        card.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        card.setMinimumHeight(least)
        column.addWidget(card, stretch)
    content.setMinimumHeight(sum(_LEAST) + (len(_LEAST) + 1) * _MARGIN)  # so that no card ever lies over another
    area = QScrollArea()
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(content)
    return area
