"""The bar at the top: the main actions as buttons, and what is open in the middle."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from gui.actions import Actions
from gui.charts.card import with_role
from gui.session import Session
from gui.theme import theme
from gui.units import file_size


class ActionButton(QPushButton):
    """A button that is and stays what its action is: text, tool tip with the shortcut, enabled."""

    def __init__(self, action: QAction, text: str, role: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        if role:
            with_role(self, role)
        self._action = action
        self.clicked.connect(action.trigger)
        action.changed.connect(self._follow)
        self._follow()

    def _follow(self) -> None:
        self.setEnabled(self._action.isEnabled())
        shortcut = self._action.shortcut().toString()
        tip = self._action.toolTip() or self._action.text()
        self.setToolTip(f"{tip} ({shortcut})" if shortcut else tip)


class TopBar(QFrame):
    """Open, Data, Undo, Redo | name and state | Compress, Export."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "bar")
        self._session = session
        self.title = QLabel(self)
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        dots = "\N{HORIZONTAL ELLIPSIS}"
        left = [ActionButton(actions.open, f"Open{dots}"), ActionButton(actions.data, f"Data{dots}"),
                ActionButton(actions.undo, "Undo", "flat"), ActionButton(actions.redo, "Redo", "flat")]
        right = [ActionButton(actions.compress, "Compress", "primary"), ActionButton(actions.export, f"Export{dots}")]
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
        theme().changed.connect(self._update)
        self._update()

    def _update(self) -> None:
        model = self._session.model
        if model is None:
            self.title.setText("")
            return
        states = [file_size(model.file_bytes), f"opset {model.opset}", f"{len(model.layers):,} layers"]
        if self._session.edited:
            states.insert(0, "edited")
        rest = " \N{MIDDLE DOT} ".join(states)
        muted = theme().color("muted").name()
        self.title.setText(f'<span style="font-weight:600">{html.escape(model.name)}</span>'
                           f'<span style="color:{muted}"> \N{EM DASH} {rest}</span>')
        self.title.setToolTip(str(model.path))
