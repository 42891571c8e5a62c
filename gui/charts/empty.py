"""What a chart or a lens shows when there is nothing to show: why, and what to do."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.theme import theme

Sign = Literal["histogram", "layers", "compare", "picture", "curve"]

_BARS = {"histogram": (0.25, 0.55, 0.9, 0.6, 0.3), "compare": (0.8, 0.6, 0.9, 0.4, 0.7)}


class _Icon(QWidget):
    """A small drawing in the theme's quiet colour; decoration only."""

    def __init__(self, sign: Sign, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sign: Sign = sign
        self.setFixedSize(QSize(44, 32))
        theme().changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pen = QPen(theme().color("strong_border"), 1.5)
        painter.setPen(pen)
        if self.sign in _BARS:
            for i, height in enumerate(_BARS[self.sign]):
                painter.drawRect(QRectF(2.5 + 8 * i, 29.5 - 27 * height, 5, 27 * height))
        elif self.sign == "layers":
            for i in range(3):
                painter.drawRoundedRect(QRectF(4.5, 2.5 + 10 * i, 35, 7), 2, 2)
        elif self.sign == "picture":
            painter.drawRoundedRect(QRectF(4.5, 2.5, 35, 27), 3, 3)
            painter.drawPolyline([QPointF(9, 24), QPointF(18, 14), QPointF(25, 21), QPointF(30, 16), QPointF(36, 24)])
        else:
            painter.drawPolyline([QPointF(4 + 4 * i, 28 - 24 * (1 - 0.7**i)) for i in range(10)])
        painter.end()


class EmptyState(QWidget):
    """A sign, a sentence, and what to do, in the middle of the space."""

    def __init__(self, sign: Sign, sentence: str = "", advice: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sentence = QLabel(sentence, self)
        self._advice = QLabel(advice, self)
        with_role(self._sentence, "title")
        with_role(self._advice, "caption")
        layout = QVBoxLayout(self)
        layout.setSpacing(6)
        layout.addStretch(1)
        layout.addWidget(_Icon(sign, self), 0, Qt.AlignmentFlag.AlignHCenter)
        for label in (self._sentence, self._advice):
            label.setWordWrap(True)
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            layout.addWidget(label)
        layout.addStretch(1)

    def say(self, sentence: str, advice: str = "") -> None:
        """Change the words."""
        self._sentence.setText(sentence)
        self._advice.setText(advice)
        self._advice.setVisible(bool(advice))
        self.setAccessibleName(f"{sentence} {advice}".strip())

    def words(self) -> str:
        """The sentence and the advice, for tests."""
        return f"{self._sentence.text()} {self._advice.text()}".strip()
