"""The top of the inspector: which layers, and what they are."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.inspector.summary import Summary
from gui.units import unbroken

_MOST_NAMES = 20


class ElidedLabel(QLabel):
    """One line that is shortened in the middle: the ends of a tensor's name tell layers apart."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._full = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def set_full(self, text: str) -> None:
        """Show a text, as much as fits; the tool tip has all of it."""
        self._full = text
        self.setToolTip(text)
        self.setAccessibleName(text)
        self._elide()

    def full(self) -> str:
        """The whole text."""
        return self._full

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._elide()

    def _elide(self) -> None:
        metrics = QFontMetrics(self.font())
        self.setText(metrics.elidedText(self._full, Qt.TextElideMode.ElideMiddle, max(self.width(), 20)))


class Heading(QWidget):
    """Name and facts of the selected layers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = ElidedLabel(self)
        self.whole_name = ElidedLabel(self)
        self.facts = QLabel(self)
        with_role(self.name, "heading")
        with_role(self.whole_name, "small")
        with_role(self.facts, "caption")
        self.facts.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.name)
        layout.addWidget(self.whole_name)
        layout.addWidget(self.facts)

    def show_summary(self, summary: Summary) -> None:
        """Show the selection."""
        self.name.set_full(summary.title)
        more = len(summary.names) - _MOST_NAMES
        rest = f"\nand {more} more" if more > 0 else ""
        self.name.setToolTip("\n".join(summary.names[:_MOST_NAMES]) + rest)
        whole = summary.names[0] if len(summary.names) == 1 else summary.title
        self.whole_name.set_full(whole)
        self.whole_name.setVisible(whole != summary.title)
        self.facts.setText(unbroken(summary.facts))
