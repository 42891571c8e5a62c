"""The bar at the top: the main actions as buttons, and what is open in the middle."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QAction, QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from gui.actions import Actions
from gui.charts.card import restyle, with_role
from gui.places import folder_name
from gui.session import Session
from gui.theme import theme
from gui.units import file_size


def action_button(action: QAction, role: str, parent: QWidget) -> QToolButton:
    """A button that is and stays what its action is: short text, tool tip, enabled."""
    button = QToolButton(parent)
    with_role(button, role)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setDefaultAction(action)
    return button


def _rest(states: list[str]) -> str:
    return " \N{EM DASH} " + " \N{MIDDLE DOT} ".join(states) if states else ""


class TopBar(QFrame):
    """Open, Data, Undo, Redo | name and state | Measure sensitivity, Plan to budget, Compress, Fine-tune, Export."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "bar")
        self._session = session
        self.title = QLabel(self)
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        left = [action_button(actions.open, "button", self), action_button(actions.data, "button", self),
                action_button(actions.undo, "flat", self), action_button(actions.redo, "flat", self)]
        right = [action_button(actions.sensitivity, "button", self), action_button(actions.plan, "button", self),
                 action_button(actions.compress, "primary", self), action_button(actions.train, "button", self),
                 action_button(actions.export, "button", self)]
        self._compress, self._export = right[2], right[4]
        self.run_buttons: tuple[QWidget, ...] = tuple(right)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 7, 12, 7)
        layout.setSpacing(8)
        for button in left:
            layout.addWidget(button)
        layout.addWidget(self.title, 1)
        for button in right:
            layout.addWidget(button)
        session.stateChanged.connect(self._update)
        session.modelChanged.connect(self._update)
        for signal in (session.resultChanged, session.recipeChanged, session.dataChanged):
            signal.connect(self._show_primary)
        theme().changed.connect(self._update)
        self._update()

    def _update(self, *_names: object) -> None:
        self._show_primary()
        model = self._session.model
        if model is None:
            self.title.setText("")
            return
        states = [file_size(model.file_bytes), f"opset {model.opset}", f"{len(model.layers):,} layers"]
        if self._session.edited:
            states.insert(0, "edited")
        folder = folder_name(model.shown_path)
        place = f" in {folder}" if folder else ""
        while states and self._width(model.name, place, states) > self.title.width():
            states.pop()  # what is said elsewhere as well goes first
        if not states and self._width(model.name, place, states) > self.title.width():
            place = ""
        rest = _rest(states)
        muted = theme().color("muted").name()
        self.title.setText(f'<span style="font-weight:600">{html.escape(self._short(model.name))}</span>'
                           f'<span style="color:{muted}">{html.escape(place + rest)}</span>')
        self.title.setToolTip(str(model.shown_path))

    def _short(self, name: str) -> str:
        metrics = QFontMetrics(theme().font("body", strong=True))
        return metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, max(self.title.width(), 1))

    def _width(self, name: str, place: str, states: list[str]) -> int:
        """Pixels that the title takes."""
        bold, plain = QFontMetrics(theme().font("body", strong=True)), QFontMetrics(theme().font("body"))
        return bold.horizontalAdvance(name) + plain.horizontalAdvance(place + _rest(states)) + 4

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        QTimer.singleShot(0, self, self._update)  # once the title has its new width

    def _show_primary(self, *_names: object) -> None:
        """What comes next is the bright button: compress, then export what was compressed."""
        done = self._session.result is not None and self._session.result_current
        restyle(self._compress, "button" if done else "primary")
        restyle(self._export, "primary" if done else "button")
