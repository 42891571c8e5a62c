"""A card: title, a line that says what is shown, and the content."""

from __future__ import annotations

import html
import re

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui.theme import theme
from gui.units import unbroken

_HEAD_HEIGHT = 26
"""Room for small controls beside the title; the same in all cards, so that their captions align."""
_HEAD_GAP = 8
_SIDE_MARGIN = 13
_SWATCH = re.compile(r"\{(\w+)\}")


def with_role(widget: QWidget, role: str) -> QWidget:
    """Give a widget its role in the style sheet."""
    widget.setProperty("role", role)
    return widget


def rule(parent: QWidget | None = None) -> QFrame:
    """A thin line between parts that lie below each other."""
    line = QFrame(parent)
    with_role(line, "rule")
    line.setFixedHeight(1)
    return line


def label(text: str, role: str, parent: QWidget | None = None) -> QLabel:
    """A label with its role in the style sheet."""
    made = QLabel(text, parent)
    with_role(made, role)
    return made


def restyle(widget: QWidget, role: str) -> None:
    """Change the role of a widget that is already on the screen."""
    if widget.property("role") != role:
        widget.setProperty("role", role)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


class Caption(QLabel):
    """A line of small text that wraps; "{before}" in it becomes a square in that role's colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._template = ""
        with_role(self, "small")
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        theme().changed.connect(self._render)

    def set_template(self, template: str) -> None:
        """Show a text. Everything but "{role}" is taken literally."""
        if template != self._template:
            self._template = template
            self._render()

    @property
    def plain_text(self) -> str:
        """What is shown, the squares left out."""
        return re.sub(r"\s+", " ", _SWATCH.sub("", self._template)).strip()

    def _render(self) -> None:
        def swatch(match: re.Match[str]) -> str:
            return f'<span style="color:{theme().color(match[1]).name()}">\u25a0</span>'

        self.setText(_SWATCH.sub(swatch, html.escape(unbroken(self._template), quote=False)))
        self.setAccessibleName(self.plain_text)


class Card(QFrame):
    """Title and caption above a content widget; `corner` takes small controls at the right of the title."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "card")
        self.title = QLabel(title, self)
        with_role(self.title, "title")
        self.caption = Caption(self)
        self._controls = QWidget(self)
        self.corner = QHBoxLayout(self._controls)
        self.corner.setContentsMargins(0, 0, 0, 0)
        self.corner.setSpacing(4)
        self._head = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._head.setContentsMargins(0, 0, 0, 0)
        self._head.setSpacing(_HEAD_GAP)
        self._head.addWidget(self.title, 1)
        self._head.addWidget(self._controls, 0, Qt.AlignmentFlag.AlignRight)
        self.title.setMinimumHeight(_HEAD_HEIGHT)
        self.body = QVBoxLayout()
        self.body.setContentsMargins(0, 4, 0, 0)
        # Cards share the room by their stretch alone, so that nothing jumps when a caption or an empty state changes.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(_SIDE_MARGIN, 6, _SIDE_MARGIN, 9)
        layout.setSpacing(0)
        layout.addLayout(self._head)
        layout.addWidget(self.caption)
        layout.addLayout(self.body, 1)

    def hasHeightForWidth(self) -> bool:
        """Wrapping captions must not change how cards share the room."""
        return False

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange_head()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:  # a control or the title changed
            self._arrange_head()
        return super().event(event)

    def _arrange_head(self) -> None:
        """The controls go below the title when they do not fit beside it: a cut control cannot be understood."""
        room = self.width() - 2 * _SIDE_MARGIN
        wanted = self.title.sizeHint().width() + _HEAD_GAP + self._controls.sizeHint().width()
        beside = wanted <= room
        direction = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        if direction != self._head.direction():
            self._head.setDirection(direction)
            side = Qt.AlignmentFlag.AlignRight if beside else Qt.AlignmentFlag.AlignLeft
            self._head.setAlignment(self._controls, side)
            self._head.setSpacing(_HEAD_GAP if beside else 0)
