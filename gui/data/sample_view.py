"""One sample as the model gets it: its picture or its numbers, with shape, type and range of each input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QStackedLayout, QToolButton, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.charts.lines import LineChart
from gui.charts.picture import Picture
from gui.data.reading import Shown

if TYPE_CHECKING:
    from core.data.samples import Samples


class SampleView(QWidget):
    """The sample, and buttons to go through all of them.

    wanted   (index) the person asks for another sample
    """

    wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._index, self._count = 0, 0
        self.picture, self.words = Picture(self), QLabel(self)
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        with_role(self.words, "muted")
        self.chart = LineChart(self)
        self.lines = QLabel(self)
        self.lines.setWordWrap(True)
        self.lines.setTextFormat(Qt.TextFormat.PlainText)
        with_role(self.lines, "small")
        self.title = QLabel(self)
        with_role(self.title, "small")
        self.back = _arrow("\u25c2", "The sample before", self)
        self.forward = _arrow("\u25b8", "The next sample", self)
        self.back.clicked.connect(lambda: self.wanted.emit(self._index - 1))
        self.forward.clicked.connect(lambda: self.wanted.emit(self._index + 1))
        stage = QWidget(self)
        self._stage = QStackedLayout(stage)
        for widget in (self.picture, self.words, self.chart):
            self._stage.addWidget(widget)
        head = QHBoxLayout()
        head.setSpacing(2)
        head.addWidget(self.title, 1)
        head.addWidget(self.back)
        head.addWidget(self.forward)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(head)
        layout.addWidget(stage, 1)
        layout.addWidget(self.lines)
        self.clear("")

    def clear(self, text: str) -> None:
        """Show a sentence in place of a sample."""
        self._count = 0
        self.title.setText("")
        self.lines.setText("")
        self.words.setText(text)
        self._stage.setCurrentWidget(self.words)
        self._show_arrows()

    def show_sample(self, shown: Shown, samples: Samples) -> None:
        """Show one of the samples."""
        self._index, self._count = shown.index, samples.n
        name = samples.name(shown.index)
        place = f"{shown.index + 1:,} of {samples.n:,}"
        self.title.setText(f"As the model gets it: {name}, {place}{_label(samples, shown)}")
        self.lines.setText("\n".join(shown.lines))
        drawn = shown.drawn
        if drawn.pixels is not None:
            self.picture.set_pixels(drawn.pixels)
            self.picture.setAccessibleName(f"Picture of {name}")
            self._stage.setCurrentWidget(self.picture)
        elif drawn.line is not None:
            self.chart.set_values(drawn.line)
            self._stage.setCurrentWidget(self.chart)
        else:
            self.words.setText(drawn.text)
            self._stage.setCurrentWidget(self.words)
        self._show_arrows()

    def _show_arrows(self) -> None:
        for button in (self.back, self.forward):
            button.setVisible(self._count > 1)
        self.back.setEnabled(self._index > 0)
        self.forward.setEnabled(self._index + 1 < self._count)


def _label(samples: Samples, shown: Shown) -> str:
    """The sample's label in words, where it is one word or number."""
    if samples.labels is None or samples.labels.ndim != 1:
        return ""
    label, names = samples.labels[shown.index], samples.class_names
    named = samples.class_labels is not None and int(label) < len(names)
    return f" \N{MIDDLE DOT} label {names[int(label)] if named else label}"


def _arrow(arrow: str, tip: str, parent: QWidget) -> QToolButton:
    button = QToolButton(parent)
    button.setText(arrow)
    with_role(button, "segment")
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    return button
