"""A card: title, a line that says what is shown, and the content."""

from __future__ import annotations

import html
import re

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui.theme import theme

_SWATCH = re.compile(r"\{(\w+)\}")


def with_role(widget: QWidget, role: str) -> QWidget:
    """Give a widget its role in the style sheet."""
    widget.setProperty("role", role)
    return widget


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

        self.setText(_SWATCH.sub(swatch, html.escape(self._template)))
        self.setAccessibleName(self.plain_text)


class Card(QFrame):
    """Title and caption above a content widget; `corner` takes small controls at the right of the title."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "card")
        self.title = QLabel(title, self)
        with_role(self.title, "title")
        self.caption = Caption(self)
        self.corner = QHBoxLayout()
        self.corner.setSpacing(4)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self.title)
        head.addStretch(1)
        head.addLayout(self.corner)
        self.body = QVBoxLayout()
        self.body.setContentsMargins(0, 4, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(13, 9, 13, 9)
        layout.setSpacing(2)
        layout.addLayout(head)
        layout.addWidget(self.caption)
        layout.addLayout(self.body, 1)
