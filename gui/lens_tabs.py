"""The middle of the window: one tab per lens. Lenses come after the first paint: charts take time to load."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.lenses.base import Lens


class LensTabs(QWidget):
    """Tabs with a line under the current one, and the lens below.

    lensChanged   (key) another lens is shown
    """

    lensChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "window")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        head = QFrame(self)
        with_role(head, "plain")
        self.tabs = QTabBar(head)
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setAccessibleName("Lenses")
        line = QHBoxLayout(head)
        line.setContentsMargins(12, 0, 12, 0)
        line.addWidget(self.tabs, 1)  # all the width: the bold title of the current tab takes more than its hint
        head.setFixedHeight(42)
        rule = with_role(QFrame(self), "rule")
        rule.setFixedHeight(1)
        self._stack = QStackedWidget(self)
        self._lenses: list[Lens] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(head)
        layout.addWidget(rule)
        layout.addWidget(self._stack, 1)
        self.tabs.currentChanged.connect(self._show)

    def add(self, lens: Lens) -> None:
        """Append a lens, which has its session already."""
        self._lenses.append(lens)
        self._stack.addWidget(lens)
        self.tabs.addTab(lens.title)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(lens.key for lens in self._lenses)

    @property
    def current(self) -> Lens | None:
        return self._lenses[self.tabs.currentIndex()] if self._lenses else None

    def show_lens(self, key: str) -> bool:
        """Show the lens with this key; False when there is none."""
        if key not in self.keys:
            return False
        self.tabs.setCurrentIndex(self.keys.index(key))
        return True

    def _show(self, index: int) -> None:
        if 0 <= index < len(self._lenses):
            self._stack.setCurrentIndex(index)
            self.lensChanged.emit(self._lenses[index].key)
