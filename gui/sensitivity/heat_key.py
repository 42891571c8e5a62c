"""The line below the heat map that says what colours and marks mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QBrush, QFont, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.sensitivity.heat_paint import corner_mark
from gui.sensitivity.words import scale_ends
from gui.theme import theme

if TYPE_CHECKING:
    from PySide6.QtGui import QColor

_HEIGHT, _BAR, _SWATCH, _GAP, _BETWEEN = 18, 84, 15, 4, 14
_Item = tuple[Callable[[QPainter, QRect], None] | None, int, str, QFont]
"""What paints a sample, its width, and the words behind it."""


class HeatKey(QWidget):
    """Shows as many of its parts as fit, the colours first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._measure, self._tiers = "weight", (0, 0, 0)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        theme().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(200, _HEIGHT)

    def say(self, measure: str, tiers: tuple[int, int, int]) -> None:
        """What the errors are, and how many cells there are of each tier."""
        self._measure, self._tiers = measure, tiers
        self.setAccessibleName("; ".join(text for _, _, text, _ in self._items() if text))
        self.setToolTip(self.accessibleName())  # a narrow window has no room for all of it
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        x = 2
        for paint, sample, text, font in self._items():
            words = QFontMetrics(font).horizontalAdvance(text) + 2
            width = sample + (_GAP if sample else 0) + words
            if x + width > self.width():
                break
            if paint is not None:
                paint(painter, QRect(x, self.height() // 2 - 5, sample, 10))
            painter.setFont(font)
            painter.setPen(theme().color("muted"))
            left = x + width - words
            painter.drawText(QRect(left, 0, words, self.height()), Qt.AlignmentFlag.AlignVCenter, text)
            x += width + (_GAP if paint is None else _BETWEEN)
        painter.end()

    def _items(self) -> Iterator[_Item]:
        plain = theme().font("tiny", figures=True)
        good, bad = scale_ends(self._measure, 1 if any(self._tiers[1:]) else 0)
        yield None, 0, good, plain
        yield _paint_heat, _BAR, bad, plain
        if self._tiers[2]:
            yield _paint_corner, _SWATCH, "measured, else predicted" if self._tiers[1] else "measured", plain
        yield _paint_ring, _SWATCH, "in the plan", plain
        if self._tiers[0] and any(self._tiers[1:]):
            slanted = QFont(plain)
            slanted.setItalic(True)
            yield _paint_nothing, 0, "slanted: the weight's own, dB", slanted
        yield _paint_hatch, _SWATCH, "cannot be had", plain


def _paint_nothing(painter: QPainter, rect: QRect) -> None:
    """Words alone."""


def _paint_heat(painter: QPainter, rect: QRect) -> None:
    heat = theme().heat()
    for level, color in enumerate(heat):
        start, end = (round(rect.width() * at / len(heat)) for at in (level, level + 1))
        painter.fillRect(QRect(rect.x() + start, rect.y(), end - start, rect.height()), color)


def _paint_corner(painter: QPainter, rect: QRect) -> None:
    painter.fillRect(rect, theme().color("heat_1"))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme().color("muted"))
    painter.drawPolygon(corner_mark(QPoint(rect.right(), rect.top())))


def _paint_ring(painter: QPainter, rect: QRect) -> None:
    color: QColor = theme().color("text")
    for inset in (0, 1):
        painter.setPen(color)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(rect.adjusted(inset, inset, -1 - inset, -1 - inset))


def _paint_hatch(painter: QPainter, rect: QRect) -> None:
    painter.fillRect(rect, theme().color("sunken"))
    painter.fillRect(rect, QBrush(theme().color("strong_border"), Qt.BrushStyle.BDiagPattern))
