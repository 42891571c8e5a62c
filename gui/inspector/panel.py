"""The inspector: the selected layers, their steps in order, and what they cost now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from core.methods.base import Described
from core.methods.order import place_for
from core.methods.registry import by_key
from core.recipe import Step
from gui.charts.card import with_role
from gui.charts.empty import EmptyState
from gui.groups import ChannelGroups
from gui.inspector import cost_box
from gui.inspector.choice_button import ChoiceButton
from gui.inspector.cost_box import CostBox
from gui.inspector.group_box import group_state, left_words
from gui.inspector.heading import Heading
from gui.inspector.live import LiveLayer
from gui.inspector.method_menu import fill_with_methods
from gui.inspector.step_list import StepList
from gui.inspector.summary import Summary, similar, summarize
from gui.session import Session

_MARGIN = 12


class Inspector(QFrame):
    """The panel at the right. Reads the session, and changes it only by `set_steps` and `set_recipe`."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "panel")
        self._session = session
        self._live = LiveLayer.of(session)
        self._summary: Summary | None = None
        self.heading = Heading(self)
        self.step_list = StepList(self)
        self.add_button = QPushButton("+ &Add step", self)
        self.cost = CostBox(self)
        self.similar_button = ChoiceButton("Apply to &similar", "No other layers are like this", self)
        self.reset_button = ChoiceButton("&Reset", "", self)
        self.empty = EmptyState("layers")
        self._lay_out()
        self._connect()
        self._refresh()

    @property
    def summary(self) -> Summary | None:
        """What is shown of the selection."""
        return self._summary

    # -- building ----------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.add_button.setMenu(QMenu(self.add_button))
        with_role(self.reset_button, "flat")
        self._order_title = QLabel("Steps, in order", self)
        with_role(self._order_title, "small")
        ends = QHBoxLayout()
        ends.addWidget(self.similar_button)
        ends.addStretch(1)
        ends.addWidget(self.reset_button)
        content = QWidget()
        with_role(content, "plain")
        column = QVBoxLayout(content)
        column.setContentsMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN)
        column.setSpacing(12)
        column.addWidget(self.heading)
        column.addWidget(self._order_title)
        for widget in (self.step_list, self.add_button, self.cost):
            column.addWidget(widget)
        column.addLayout(ends)
        column.addStretch(1)
        self._scroll = QScrollArea(self)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setWidget(content)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._scroll)
        self._stack.addWidget(self.empty)
        self.setMinimumWidth(276)

    def _connect(self) -> None:
        session = self._session
        session.modelChanged.connect(self._refresh)
        session.selectionChanged.connect(self._refresh)
        session.recipeChanged.connect(self._recipe_changed)
        session.previewsChanged.connect(self._previews_changed)
        session.resultChanged.connect(self._show_cost)
        session.preparedChanged.connect(self._show_group)
        session.measuringChanged.connect(self._show_group)
        session.measuringChanged.connect(self._show_cost)
        ChannelGroups.of(session).changed.connect(self._show_group)
        self.step_list.group_selected.connect(session.select)
        self._live.changed.connect(self._show_cost)
        self.step_list.edited.connect(self._edit)
        self.step_list.method_chosen.connect(self._replace)
        self.step_list.moved.connect(self._move)
        self.step_list.removed.connect(self._remove)
        self.step_list.variant_chosen.connect(lambda steps: self._put(steps, "use the same steps"))
        self.add_button.menu().aboutToShow.connect(self._fill_add_menu)

    # -- state to widgets --------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        session = self._session
        self._summary = summary = summarize(session.model, session.recipe, session.selection)
        self._stack.setCurrentWidget(self._scroll if summary is not None else self.empty)
        if summary is None:
            if session.model is None:
                self.empty.say("No model is open.", "Open an ONNX file, or the sample, to see its layers.")
            else:
                self.empty.say("No layer is selected.", "Pick one or several in the list to choose their steps.")
            return
        self.heading.show_summary(summary)
        if self.step_list.show_summary(summary):
            self._order_tabs()
        free = not summary.locked
        self._order_title.setVisible(free)
        self.add_button.setVisible(free and summary.steps is not None)
        for button in (self.similar_button, self.reset_button):
            button.setVisible(free)
        recipe = session.recipe
        planned = recipe is not None and bool(recipe.defaults or recipe.layers)
        self.reset_button.set_choices(self._resets() if planned else ())
        self.similar_button.set_choices(self._similar())
        self._show_group()
        self._show_cost()

    def _order_tabs(self) -> None:
        """Tab goes from top to bottom: Qt would put cards that were made later behind everything else."""
        stops = (*self.step_list.tab_stops(), self.add_button, self.similar_button, self.reset_button)
        for first, second in pairwise(stops):
            QWidget.setTabOrder(first, second)

    def _recipe_changed(self, names: tuple[str, ...]) -> None:
        if self._summary is not None and not set(names).isdisjoint(self._summary.names):
            self._refresh()

    def _previews_changed(self, names: tuple[str, ...]) -> None:
        summary = self._summary
        if summary is not None and len(summary.layers) > 1 and not set(names).isdisjoint(summary.names):
            self._show_cost()

    def _show_group(self) -> None:
        if self._summary is None:
            return
        if self.step_list.cuts_channels:
            self.step_list.show_group(group_state(self._session, self._summary.layers))
        elif not self._summary.steps:
            self.step_list.show_left(left_words(self._session, self._summary.layers))

    def _show_cost(self) -> None:
        summary, shown = self._summary, self._live.shown
        if summary is None or shown is None:
            return
        if len(summary.layers) > 1:
            rows, reason = cost_box.several_layers(summary, self._session)
            reason = reason or summary.locked
        else:
            rows, reason = cost_box.one_layer(shown, self._session)
        self.cost.set_rows(rows, reason)

    # -- the person's edits to the session ---------------------------------------------------------------------------

    def _steps(self) -> tuple[Step, ...]:
        return (self._summary.steps or ()) if self._summary is not None else ()

    def _put(self, steps: tuple[Step, ...], text: str, merge_key: str = "") -> None:
        if self._summary is not None:
            self._session.set_steps(self._summary.names, steps, text=text, merge_key=merge_key)

    def _edit(self, index: int, params: Any, key: str) -> None:
        steps = list(self._steps())
        steps[index] = replace(steps[index], params=params)
        self._put(tuple(steps), f"change {_title(steps[index])}", f"{index}:{key}")

    def add_step(self, key: str) -> None:
        """Add a step with the method's default parameters: at the end, or before where only that makes sense."""
        step, steps = _new_step(key), self._steps()
        place, _reason = place_for(by_key(key), _methods(steps))
        self._put((*steps[:place], step, *steps[place:]), f"add {_title(step)}")
        self.step_list.focus_step(place)
        if place < len(steps):
            title, behind = by_key(key).title, by_key(steps[place].method).title
            self._session.said.emit(f"{title} goes before {behind}: it needs the weights as they are before that step.")

    def _replace(self, index: int, key: str) -> None:
        steps = list(self._steps())
        steps[index] = _new_step(key)
        self._put(tuple(steps), f"change to {_title(steps[index])}")
        self.step_list.focus_step(index)

    def _move(self, index: int, places: int) -> None:
        steps = list(self._steps())
        step = steps.pop(index)
        steps.insert(index + places, step)
        self._put(tuple(steps), f"move {_title(step)}")
        self.step_list.focus_step(index + places)

    def _remove(self, index: int) -> None:
        steps = list(self._steps())
        step = steps.pop(index)
        self._put(tuple(steps), f"remove {_title(step)}")
        self.add_button.setFocus(Qt.FocusReason.OtherFocusReason)

    # -- menus -------------------------------------------------------------------------------------------------------

    def _fill_add_menu(self) -> None:
        menu = self.add_button.menu()
        menu.clear()
        if self._summary is not None:
            methods = _methods(self._steps())
            fill_with_methods(
                menu, self._summary.layers, self.add_step, why_not=lambda method: place_for(method, methods)[1]
            )

    def _similar(self) -> list[tuple[str, Callable[[], None]]]:
        """Where the steps could go as well: words and what does it."""
        summary, model, session = self._summary, self._session.model, self._session
        if summary is None or model is None or summary.steps is None:
            return []
        steps = summary.steps
        return [
            (f"{words} ({len(names):,})",
             lambda names=names: session.set_steps(names, steps, text="apply to similar"))  # type: ignore[misc]
            for words, names in similar(summary, model.layers)
        ]

    def _resets(self) -> list[tuple[str, Callable[[], None]]]:
        """Ways back: words and what does it."""
        summary, session = self._summary, self._session
        recipe = session.recipe
        if summary is None or recipe is None:
            return []
        names = summary.names
        found: list[tuple[str, Callable[[], None]]] = [
            ("Leave alone", lambda: session.set_steps(names, None, text="leave alone"))
        ]
        plain = replace(recipe, layers=tuple(entry for entry in recipe.layers if entry[0] not in names))
        if any(plain.steps_for(name) for name in names):
            found.append(("Back to the recipe's defaults",
                          lambda: session.set_recipe(plain, names, text="back to the defaults")))
        return found


def _methods(steps: tuple[Step, ...]) -> list[Described]:
    return [by_key(step.method) for step in steps]


def _new_step(key: str) -> Step:
    return Step(key, by_key(key).Params())


def _title(step: Step) -> str:
    title = by_key(step.method).title
    return title[:1].lower() + title[1:]
