"""The first card of the Compare lens: the error at each layer's output; layers below a level are marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QDoubleSpinBox, QLabel, QStackedLayout, QToolButton, QWidget

from gui.charts.bars import ErrorBars
from gui.charts.card import Card, with_role
from gui.charts.empty import EmptyState
from gui.inspector.number import Number
from gui.lenses.compare_state import ACCUMULATED, ISOLATED, ErrorView, budget_words, missing_reasons, missing_words

DEFAULT_BUDGET_DB = 30.0
_MOST_MISSING = 20
"""Layers without a value that the tool tip names."""


class ErrorCard(Card):
    """Bars, a switch between accumulated and isolated errors, and the level to mark below.

    picked(name)     the person clicked a layer's bar
    view_chosen()    the switch or the level was moved
    """

    picked = Signal(str)
    view_chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Error at each layer's output", parent)
        self.bars = ErrorBars()
        self.empty = EmptyState("compare")
        self._view: ErrorView | None = None
        self._kinds = QButtonGroup(self)
        for index, (text, tip) in enumerate((
            ("Accumulated", "The whole model is compressed: errors of earlier layers add up"),
            ("Isolated", "Each layer alone is compressed, all others are the original's"),
        )):
            self._kinds.addButton(self._button(text, tip, index == 0), index)
        self._kinds.idClicked.connect(lambda _index: self.view_chosen.emit())
        self.budget = self._budget_box()
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.bars)
        self._stack.addWidget(self.empty)
        self.body.addWidget(holder)
        self.bars.picked.connect(self._picked)

    def _button(self, text: str, tip: str, checked: bool) -> QToolButton:
        button = QToolButton(self)
        button.setText(text)
        with_role(button, "segment")
        button.setToolTip(tip)
        button.setCheckable(True)
        button.setChecked(checked)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.corner.addWidget(button)
        return button

    def _budget_box(self) -> QDoubleSpinBox:
        label = QLabel("Mark below", self)
        with_role(label, "small")
        box = Number(self)
        box.setRange(0.0, 120.0)
        box.setDecimals(0)
        box.setSuffix("\u00a0dB")
        box.setValue(DEFAULT_BUDGET_DB)
        box.setFixedWidth(62)
        box.setToolTip("Layers whose SQNR falls below this are marked; it is not the budget of a plan")
        box.setAccessibleName("Mark layers below this SQNR, in dB")
        box.valueChanged.connect(lambda _value: self.view_chosen.emit())
        self.corner.addSpacing(8)
        self.corner.addWidget(label)
        self.corner.addWidget(box)
        return box

    @property
    def kind(self) -> str:
        """Which error the person wants to see."""
        return ISOLATED if self._kinds.checkedId() == 1 else ACCUMULATED

    def choose(self, kind: str) -> None:
        """Press the switch."""
        self._kinds.button(1 if kind == ISOLATED else 0).click()

    def show_kind(self, enabled: bool) -> None:
        """Whether there is a choice: while compressing only isolated errors are known."""
        for button in self._kinds.buttons():
            button.setVisible(enabled)

    def show_view(self, view: ErrorView, words: str, selected: Sequence[str], titles: Mapping[str, str]) -> None:
        """Show the bars; `words` says where the figures come from, `titles` how layers are called."""
        self._view = view
        self._stack.setCurrentWidget(self.bars)
        budget = self.budget.value()
        over = budget_words(view, budget, titles)
        self.caption.set_template(" · ".join(part for part in (words, over, missing_words(view)) if part))
        missing = [f"{titles.get(name, name)}: {why}" for name, why in missing_reasons(view).items()]
        rest = [f"and {len(missing) - _MOST_MISSING} more"] if len(missing) > _MOST_MISSING else []
        self.caption.setToolTip("\n".join([*missing[:_MOST_MISSING], *rest]))
        chosen = [i for i, name in enumerate(view.names) if name in set(selected)]
        shown = [titles.get(name, name) for name in view.names]
        reasons = {titles.get(name, name): reason for name, reason in view.reasons.items()}
        self.bars.set_bars(shown, view.db, budget, chosen, reasons)

    def show_empty(self, sentence: str, advice: str) -> None:
        """Say why there is nothing."""
        self._view = None
        self.caption.set_template("")
        self.caption.setToolTip("")
        self.empty.say(sentence, advice)
        self._stack.setCurrentWidget(self.empty)

    @property
    def values(self) -> np.ndarray:
        """The values shown; for tests."""
        return self._view.db if self._view is not None else np.zeros(0)

    def _picked(self, index: int) -> None:
        if self._view is not None:
            self.picked.emit(self._view.names[index])
