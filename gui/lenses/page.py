"""How a lens lays out its cards: one across the top, two below it, and a scroll bar when the window is small."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QScrollArea, QWidget

from gui.charts.card import Card, with_role

_MARGIN = 12
_NARROW = 520
"""Below this width the two lower cards would be too narrow for their captions: they go below each other."""
_LEAST_TOP, _LEAST_LOWER = 290, 320
"""Heights in pixels below which a card's chart cannot be read; the page scrolls instead."""


class CardPage(QScrollArea):
    """Three cards that fill the room there is.

    stretch  how the upper and the lower row share the height
    """

    def __init__(self, top: Card, left: Card, right: Card, stretch: tuple[int, int]) -> None:
        super().__init__()
        self._lower = (left, right)
        self._stretch = stretch
        self._narrow: bool | None = None
        self._content = QWidget()
        with_role(self._content, "plain")
        self._grid = QGridLayout(self._content)
        self._grid.setContentsMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN)
        self._grid.setSpacing(_MARGIN)
        self._grid.addWidget(top, 0, 0, 1, 2)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(self._content)
        self._arrange(False)

    @property
    def narrow(self) -> bool:
        """Whether all cards are below each other."""
        return bool(self._narrow)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange(self.width() < _NARROW)  # not the viewport's width, which depends on the scroll bar

    def _arrange(self, narrow: bool) -> None:
        if narrow == self._narrow:
            return
        self._narrow = narrow
        left, right = self._lower
        for card in self._lower:
            self._grid.removeWidget(card)
        if narrow:
            self._grid.addWidget(left, 1, 0, 1, 2)
            self._grid.addWidget(right, 2, 0, 1, 2)
        else:
            self._grid.addWidget(left, 1, 0)
            self._grid.addWidget(right, 1, 1)
        rows = (self._stretch[0], self._stretch[1], self._stretch[1] if narrow else 0)
        least = (_LEAST_TOP, _LEAST_LOWER, _LEAST_LOWER if narrow else 0)
        for row, (share, height) in enumerate(zip(rows, least, strict=True)):
            self._grid.setRowStretch(row, share)
            self._grid.setRowMinimumHeight(row, height)
        for column in (0, 1):
            self._grid.setColumnStretch(column, 1)
        gaps = (2 if narrow else 1) * _MARGIN
        self._content.setMinimumHeight(sum(least) + gaps + 2 * _MARGIN)
