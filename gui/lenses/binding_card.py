"""The third card of the Trade-off lens: which layers hold the plan back, and what relaxing them would gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QPushButton, QStackedLayout, QWidget

from gui.charts.card import Card, with_role
from gui.charts.empty import EmptyState
from gui.planning.words import binding_words
from gui.theme import theme
from gui.totals.card import ElidedLabel

if TYPE_CHECKING:
    from core.planning.plan import Binding

_BAR_WIDTH, _BAR_HEIGHT = 46, 6
_NAME_WIDTH = 150


class _Share(QWidget):
    """A short bar for a share of the error; its number stands beside it."""

    def __init__(self, share: float, parent: QWidget) -> None:
        super().__init__(parent)
        self._share = min(share, 1.0)
        self.setFixedSize(_BAR_WIDTH, _BAR_HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        radius = _BAR_HEIGHT / 2
        for role, width in (("track", float(_BAR_WIDTH)), ("warn", max(_BAR_HEIGHT, _BAR_WIDTH * self._share))):
            painter.setBrush(theme().color(role))
            painter.drawRoundedRect(QRectF(0, 0, width, _BAR_HEIGHT), radius, radius)
        painter.end()


class BindingCard(Card):
    """Rows: layer, share of the error, the better setting with what it takes and gains, and a button that takes it.

    used(binding)  the person wants the better setting
    picked(name)   the person chose a layer
    """

    used = Signal(object)
    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("What holds this plan back", parent)
        self.empty = EmptyState("curve")
        self._rows = QWidget(self)
        self._grid = QGridLayout(self._rows)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(3, 1)
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self._rows)
        self._stack.addWidget(self.empty)
        self.body.addWidget(holder)
        self._shown: tuple[Binding, ...] | None = None
        self.buttons: list[QPushButton] = []

    def show_binding(self, binding: Sequence[Binding], title: Callable[[str], str], words: str) -> None:
        """Show these layers; `words` is the caption."""
        self._stack.setCurrentWidget(self._rows)
        self.caption.set_template(words)
        if tuple(binding) == self._shown:
            return
        self._shown = tuple(binding)
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self.buttons = []
        for row, one in enumerate(binding):
            self._add(row, one, title(one.layer))
        for row in range(len(binding) + 1):
            self._grid.setRowStretch(row, int(row == len(binding)))

    def _add(self, row: int, binding: Binding, title: str) -> None:
        name = QPushButton(self.fontMetrics().elidedText(title, Qt.TextElideMode.ElideMiddle, _NAME_WIDTH), self)
        with_role(name, "link")
        name.setToolTip(f"Select {binding.layer}")
        name.clicked.connect(lambda _checked=False: self.picked.emit(binding.layer))
        share = QLabel(f"{100 * binding.share:.0f} %", self)
        share.setToolTip("of the plan's predicted error comes from this layer")
        words = ElidedLabel(self)
        with_role(words, "small")
        words.set_whole(binding_words(binding))
        use = QPushButton("Use it", self)
        with_role(use, "flat")
        use.setAccessibleName(f"Use {binding.better} for {title}")
        use.setToolTip(f"Give {title} the setting {binding.better}; can be undone")
        use.clicked.connect(partial(self._use, binding))
        self.buttons.append(use)
        for column, widget in enumerate((name, _Share(binding.share, self), share, words, use)):
            side = Qt.AlignmentFlag.AlignLeft if column == 0 else Qt.AlignmentFlag(0)
            self._grid.addWidget(widget, row, column, side)

    def _use(self, binding: Binding, _checked: bool = False) -> None:
        self.used.emit(binding)

    def show_empty(self, sentence: str, advice: str = "") -> None:
        """Say why there is nothing."""
        self._shown = None
        self.caption.set_template("")
        self.empty.say(sentence, advice)
        self._stack.setCurrentWidget(self.empty)
