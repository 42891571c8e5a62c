"""The spin box and the slider of a number: they leave the wheel to the panel, and Alt with an arrow to the step."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QWheelEvent
from PySide6.QtWidgets import QDoubleSpinBox, QSizePolicy, QSlider, QWidget

from gui.charts.card import with_role


def _moves_the_step(event: QKeyEvent) -> bool:
    """Alt+Up and Alt+Down move the step; they change no value, at the end of the list neither."""
    alt = bool(event.modifiers() & Qt.KeyboardModifier.AltModifier)
    return alt and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down)


class Slider(QSlider):
    """A slider that leaves the wheel to the panel around it, so that scrolling never changes a value."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if _moves_the_step(event):
            event.ignore()
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class Number(QDoubleSpinBox):
    """A number to type; commits on Enter or on leaving. Shows no trailing zeros."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setKeyboardTracking(False)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        with_role(self, "number")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def textFromValue(self, value: float) -> str:
        text = super().textFromValue(value)
        point = self.locale().decimalPoint()
        return text.rstrip("0").removesuffix(point) if point in text else text

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if _moves_the_step(event):
            event.ignore()
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()
